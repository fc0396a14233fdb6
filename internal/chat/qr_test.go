package chat

import (
	"strings"
	"testing"

	"rsc.io/qr"

	"quicpeer/internal/lines/linestest"
)

// readCode takes a rendered code apart into its modules, true for dark, and fails unless what is
// around them is light.
func readCode(t *testing.T, shown string, colour bool) [][]bool {
	t.Helper()
	var rows [][]bool
	for line := range strings.Lines(shown) {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if colour {
			var begins, ends bool
			line, begins = strings.CutPrefix(line, "\x1b[30;107m")
			line, ends = strings.CutSuffix(line, "\x1b[0m")
			ok = ok && begins && ends
		}
		if !ok {
			t.Fatalf("the line %q", line)
		}
		var upper, lower []bool
		for _, r := range line {
			inked := map[rune][2]bool{' ': {}, '▀': {true, false}, '▄': {false, true}, '█': {true, true}}[r]
			upper, lower = append(upper, inked[0] == colour), append(lower, inked[1] == colour)
		}
		rows = append(rows, upper, lower)
	}
	size := len(rows[0])
	if len(rows) != size+1 { // an odd number of rows of modules: half of the last line is nothing
		t.Fatalf("%d rows of %d", len(rows), size)
	}
	var code [][]bool
	for y, row := range rows[:size] {
		for x, dark := range row {
			if inside := min(x, y) >= 4 && max(x, y) < size-4; dark && !inside {
				t.Fatalf("the quiet zone is dark at %d, %d", x, y)
			}
		}
		if y >= 4 && y < size-4 {
			code = append(code, row[4:size-4])
		}
	}
	return code
}

// The ticket is shown as its code, dark where it is dark, with and without colours.
func TestTextQR(t *testing.T) {
	for _, colour := range []bool{false, true} {
		n := linestest.New("me")
		n.Ticket = testTicket
		var b strings.Builder
		x := newTestText(&b)
		x.look.Colour = colour
		for _, line := range []string{"/invite bob", "/qr"} {
			b.Reset()
			if _, err := linestest.Execute(t, x, n, line); err != nil {
				t.Fatal(err)
			}
		}
		title, shown, _ := strings.Cut(b.String(), "\n")
		if !strings.HasSuffix(title, "the ticket for "+x.name("bob")+":") {
			t.Errorf("the title %q", title)
		}
		want, err := qr.Encode(strings.ToUpper(testTicket), qr.L)
		if err != nil {
			t.Fatal(err)
		}
		got := readCode(t, shown, colour)
		if len(got) != want.Size || want.Size > 41 { // more would mean that the alphanumeric mode isn't used
			t.Fatalf("%d modules, not %d", len(got), want.Size)
		}
		for y, row := range got {
			for x, dark := range row {
				if dark != want.Black(x, y) {
					t.Fatalf("colour %v: the module at %d, %d is wrong", colour, x, y)
				}
			}
		}
	}
}

// A code that would be folded by the terminal is not shown.
func TestTextQRTooWide(t *testing.T) {
	n := linestest.New("me")
	n.Ticket = testTicket
	var b strings.Builder
	x := newTestText(&b)
	width := 0
	x.look.Width = func() int { return width }
	if _, err := linestest.Execute(t, x, n, "/invite bob"); err != nil {
		t.Fatal(err)
	}
	code, _ := qr.Encode(strings.ToUpper(testTicket), qr.L)
	for _, width = range []int{0, code.Size + 12, code.Size + 11} {
		b.Reset()
		if _, err := linestest.Execute(t, x, n, "/qr"); err != nil || strings.Contains(b.String(), "needs a window of") != (width == code.Size+11) {
			t.Errorf("%d columns: %s", width, b.String())
		}
	}
}
