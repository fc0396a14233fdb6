package emulator

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	term := open(t, 30, 6, true)
	_, _ = io.WriteString(term, "\x1b[?2027h\x1b[1mbold\x1b[m \x1b[31mred\x1b[m \x1b[38;5;208morange\x1b[m \x1b[38;2;1;2;3mrgb\x1b[m\r\n"+
		"\x1b[7mreverse\x1b[m \x1b[4munder\x1b[m \x1b[2mfaint\x1b[m \x1b[44m blue \x1b[m\r\n你好 "+family+" "+accent+" <&>\r\n\x1b[44m好\x1b[m│")
	picture := term.SVG(`room <"&">`)
	for _, want := range []string{
		`font-weight="bold">bold<`, `fill:#e06c75">red<`, `fill:#ff8700">orange<`, `fill:#010203">rgb<`,
		`fill:` + background + `">reverse<`, `text-decoration="underline">under<`, `fill-opacity="0.6">faint<`,
		`class="c" x="22.4" y="83.5">你<`, `class="c" x="39.2" y="83.5">好<`, `class="c" x="64.4" y="83.5">` + family + `<`,
		`textLength="25.2" lengthAdjust="spacingAndGlyphs">&lt;&amp;&gt;<`, `aria-label="room &lt;&#34;&amp;&#34;&gt;"`,
		`<rect x="14" y="88" width="16.8" height="18" fill="#61afef"/>`,
		`fill-opacity="0.55"`, // the cursor
	} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(picture)
	}
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if term.SVG(`room <"&">`) != picture {
		t.Error("the same screen gives another picture")
	}
	_, _ = io.WriteString(term, "\x1b[?25l")
	if strings.Contains(term.SVG(""), "0.55") {
		t.Error("a hidden cursor is drawn")
	}
}
