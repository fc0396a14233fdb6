package chat

import (
	"fmt"
	"strings"

	"rsc.io/qr"

	"quicpeer/internal/lines"
)

// showTicket answers /qr: the last ticket as a QR code.
func (t *Frontend) showTicket() error {
	if t.invited.Ticket == "" {
		return lines.Bad("there is no ticket to show; /invite ID makes one")
	}
	code, err := qr.Encode(strings.ToUpper(t.invited.Ticket), qr.L) // capitals take 5.5 bits each
	if err != nil {
		return lines.Bad(err.Error())
	}
	if needs, has := code.Size+2*quietZone+len(margin), t.look.Width(); has > 0 && has < needs {
		return lines.Bad(fmt.Sprintf("the QR code needs a window of %d columns, this one has %d", needs, has))
	}
	return t.block("the ticket for "+t.name(t.invited.ID)+":", halfBlocks(code, t.look.Colour))
}

// quietZone is how many light modules surround a QR code, by its standard.
const quietZone = 4

// halfBlocks draws a code with two rows of modules in a line. In colour it is black on white
// whatever the terminal is; else what is light is drawn, since most terminals are dark.
func halfBlocks(code *qr.Code, colour bool) string {
	begin, end := "", ""
	if colour {
		begin, end = "\x1b[30;107m", "\x1b[0m"
	}
	blocks := [...]string{" ", "▄", "▀", "█"}
	drawn := func(x, y int) int {
		if code.Black(x, y) == colour && y < code.Size+quietZone { // around the code all is light
			return 1
		}
		return 0
	}
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		b.WriteString(begin)
		for x := -quietZone; x < code.Size+quietZone; x++ {
			b.WriteString(blocks[2*drawn(x, y)+drawn(x, y+1)])
		}
		b.WriteString(end + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
