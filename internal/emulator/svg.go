package emulator

import (
	"encoding/xml"
	"fmt"
	"image/color"
	"math"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// Sizes of the picture, in pixels.
const (
	fontSize   = 14.0
	cellWidth  = 8.4
	cellHeight = 18.0
	baseline   = 13.5 // of a line, from its top
	padding    = 14.0
	titleBar   = 34.0
)

const (
	foreground = "#d8dee9"
	background = "#1b1e26"
)

// palette are the 16 colours of the terminal, which a program names by their numbers.
var palette = [16]string{
	"#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
	"#6b7487", "#f28b93", "#b5e08f", "#f4d58d", "#8cc8ff", "#dba0ec", "#7fd4de", "#ffffff",
}

// SVG is a picture of the screen in a window with the given title. It needs nothing but a
// monospaced font. Each character that may be wider than the font's letters gets its own place, so
// that the columns stay straight whatever font shows it. The same screen gives the same picture.
func (t *Terminal) SVG(title string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return draw(t.vt, title)
}

func draw(screen *vt.Emulator, title string) string {
	w, h := screen.Width(), screen.Height()
	width := float64(w)*cellWidth + 2*padding
	height := float64(h)*cellHeight + titleBar + padding
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %[1]s %[2]s" role="img" aria-label="%s">`+"\n", pixels(width), pixels(height), escape(title))
	b.WriteString("<style>text{font-family:ui-monospace,'SFMono-Regular','DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace;" +
		"font-size:14px;fill:" + foreground + ";white-space:pre}.c{text-anchor:middle}.t{text-anchor:middle;fill:#9aa3b5;font-size:13px}</style>\n")
	fmt.Fprintf(&b, `<rect width="%s" height="%s" rx="9" fill="%s"/>`+"\n", pixels(width), pixels(height), background)
	for i, c := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%s" cy="17" r="5.5" fill="%s"/>`+"\n", pixels(18+18*float64(i)), c)
	}
	fmt.Fprintf(&b, `<text class="t" x="%s" y="21.5">%s</text>`+"\n", pixels(width/2), escape(title))
	for y := range h {
		drawBackgrounds(&b, screen, y)
	}
	if p := screen.CursorPosition(); !screen.CursorHidden() {
		fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s" fill-opacity="0.55"/>`+"\n",
			pixels(left(p.X)), pixels(above(p.Y)), pixels(cellWidth), pixels(cellHeight), foreground)
	}
	for y := range h {
		drawText(&b, screen, y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func left(x int) float64  { return padding + float64(x)*cellWidth }
func above(y int) float64 { return titleBar + float64(y)*cellHeight }

// drawBackgrounds draws one rectangle for each run of cells of the same background.
func drawBackgrounds(b *strings.Builder, screen *vt.Emulator, y int) {
	start, last := 0, ""
	for x := 0; x <= screen.Width(); x++ {
		fill := ""
		if x < screen.Width() {
			cell := screen.CellAt(x, y)
			if cell.Width == 0 && cell.Content == "" && x > start {
				continue // the second half of a wide character
			}
			_, fill = colours(cell.Style)
		}
		if fill == last {
			continue
		}
		if last != "" {
			fmt.Fprintf(b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n",
				pixels(left(start)), pixels(above(y)), pixels(float64(x-start)*cellWidth), pixels(cellHeight), last)
		}
		start, last = x, fill
	}
}

// drawText draws one text for each run of ASCII of the same style, and one for each other
// character.
func drawText(b *strings.Builder, screen *vt.Emulator, y int) {
	for x := 0; x < screen.Width(); {
		cell := screen.CellAt(x, y)
		if cell.Content == "" || cell.Content == " " && cell.Style.Underline == 0 && cell.Style.Attrs&uv.AttrStrikethrough == 0 {
			x++
			continue
		}
		top := pixels(above(y) + baseline)
		if !ascii(cell.Content) {
			w := max(1, cell.Width)
			fmt.Fprintf(b, `<text class="c" x="%s" y="%s"%s>%s</text>`+"\n", pixels(left(x)+float64(w)*cellWidth/2), top, look(cell.Style), escape(cell.Content))
			x += w
			continue
		}
		start, run := x, ""
		for ; x < screen.Width(); x++ {
			next := screen.CellAt(x, y)
			if !ascii(next.Content) || !next.Style.Equal(&cell.Style) {
				break
			}
			run += next.Content
		}
		if cell.Style.Underline == 0 && cell.Style.Attrs&uv.AttrStrikethrough == 0 {
			run = strings.TrimRight(run, " ")
		}
		fmt.Fprintf(b, `<text xml:space="preserve" x="%s" y="%s" textLength="%s" lengthAdjust="spacingAndGlyphs"%s>%s</text>`+"\n",
			pixels(left(start)), top, pixels(float64(len(run))*cellWidth), look(cell.Style), escape(run))
	}
}

func ascii(s string) bool { return len(s) == 1 && s[0] < 0x7f }

// look is the style of a text as attributes.
func look(s uv.Style) string {
	var b strings.Builder
	if fg, _ := colours(s); fg != foreground {
		fmt.Fprintf(&b, ` style="fill:%s"`, fg)
	}
	for _, a := range []struct {
		attr uint8
		as   string
	}{{uv.AttrBold, `font-weight="bold"`}, {uv.AttrFaint, `fill-opacity="0.6"`}, {uv.AttrItalic, `font-style="italic"`}, {uv.AttrConceal, `visibility="hidden"`}} {
		if s.Attrs&a.attr != 0 {
			b.WriteString(" " + a.as)
		}
	}
	var lines []string
	if s.Underline != 0 {
		lines = append(lines, "underline")
	}
	if s.Attrs&uv.AttrStrikethrough != 0 {
		lines = append(lines, "line-through")
	}
	if lines != nil {
		fmt.Fprintf(&b, ` text-decoration="%s"`, strings.Join(lines, " "))
	}
	return b.String()
}

// colours are those of a cell; its background is empty where it is the window's.
func colours(s uv.Style) (fg, bg string) {
	fg, bg = hex(s.Fg, foreground), hex(s.Bg, "")
	if s.Attrs&uv.AttrReverse != 0 {
		if bg == "" {
			bg = background
		}
		return bg, fg
	}
	return fg, bg
}

func hex(c color.Color, otherwise string) string {
	switch c := c.(type) {
	case nil:
		return otherwise
	case ansi.BasicColor:
		return palette[c&15]
	case ansi.IndexedColor:
		if c < 16 {
			return palette[c]
		}
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}

// pixels is a length with at most one decimal.
func pixels(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", math.Round(v*10)/10), ".0")
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
