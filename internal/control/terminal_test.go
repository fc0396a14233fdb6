package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"quicpeer/internal/chat/tui"
)

var aTerminal = url.Values{"width": {"80"}, "height": {"24"}, "term": {"xterm"}}

// attach has a terminal attached that sends this, and returns what it is shown until the end.
func attach(t *testing.T, p *peer, sent string) string {
	t.Helper()
	var shown bytes.Buffer
	err := p.client.Terminal(t.Context(), aTerminal, io.NopCloser(strings.NewReader(sent)), func(f ToTerminal) error {
		shown.Write(f.Show)
		return nil
	})
	if err != nil {
		t.Errorf("%.80q: %v", sent, err)
	}
	return shown.String()
}

func frame(t testing.TB, f FromTerminal) string {
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// A terminal ends as its request does, whatever that was, and the peer goes on.
func TestTerminalEnds(t *testing.T) {
	p := start(t)
	resizes := strings.Repeat(frame(t, FromTerminal{Width: 100, Height: 50})+frame(t, FromTerminal{Width: 1, Height: 1}), 2000)
	for name, sent := range map[string]string{
		"nothing":           "",
		"garbage":           "garbage\n",
		"no JSON object":    "[1,2]\n\"x\"\n",
		"wrong types":       `{"keys":1,"width":"x"}` + "\n",
		"a huge line":       strings.Repeat("x", 10<<20),
		"a huge key":        frame(t, FromTerminal{Keys: make([]byte, 4*maxFrame)}),
		"sizes":             frame(t, FromTerminal{Width: -1, Height: 24}) + frame(t, FromTerminal{Width: 1e9, Height: 1e9}) + frame(t, FromTerminal{Width: 10000, Height: 10000}) + frame(t, FromTerminal{Width: 80}),
		"many sizes":        resizes,
		"goes on":           strings.Repeat(frame(t, FromTerminal{Resumed: true}), 1000),
		"suspends and ends": frame(t, FromTerminal{Keys: []byte("\x1a")}),
		"many keys":         strings.Repeat(frame(t, FromTerminal{Keys: bytes.Repeat([]byte("key\x15"), maxFrame/8)}), 4),
		"an endless paste":  frame(t, FromTerminal{Keys: []byte("\x1b[200~")}) + strings.Repeat(frame(t, FromTerminal{Keys: bytes.Repeat([]byte("paste"), maxFrame/10)}), 100),
	} {
		t.Run(name, func(t *testing.T) { attach(t, p, sent) })
	}
	if id, err := p.client.ID(t.Context()); err != nil || id != "me" {
		t.Errorf("%s, %v", id, err)
	}
}

// Keys do what they do, and Ctrl-D ends the answer while the request goes on.
func TestTerminalKeys(t *testing.T) {
	p := start(t)
	typed, passed := io.Pipe()
	defer passed.Close()
	go io.WriteString(passed, frame(t, FromTerminal{Keys: []byte("@bob hi\r")}))
	shown := ""
	err := p.client.Terminal(t.Context(), aTerminal, typed, func(f ToTerminal) error {
		shown += string(f.Show)
		if len(p.n.Sent()) == 1 && passed != nil {
			go io.WriteString(passed, frame(t, FromTerminal{Keys: []byte("\x04")}))
		}
		return nil
	})
	if got := strings.Join(p.n.Sent(), "|"); err != nil || got != "bob: hi" || !strings.Contains(shown, "you are me") {
		t.Errorf("sent %q, %v; shown %q", got, err, shown)
	}
}

// A client that doesn't read its answer keeps nobody else waiting, nor the peer from ending.
func TestTerminalNotRead(t *testing.T) {
	p := start(t)
	c, err := net.Dial("unix", p.client.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/terminal?%s HTTP/1.1\r\nHost: quicpeer\r\nTransfer-Encoding: chunked\r\n\r\n", aTerminal.Encode())
	line := frame(t, FromTerminal{Keys: []byte("/help\r\x1bOQ")})
	for range 500 {
		fmt.Fprintf(c, "%x\r\n%s\r\n", len(line), line)
	}
	if shown := attach(t, p, ""); shown == "" {
		t.Error("another terminal is shown nothing")
	}
}

// Only a size that a screen can have is one.
func TestTerminalQuery(t *testing.T) {
	good := url.Values{"width": {"300"}, "height": {"100"}, "term": {"foot"}, "colour": {"true"}, "full": {"1"}, "home": {"/home/me"}}
	cfg, err := parseTerminal(good)
	if err != nil || cfg.Size != (tui.Size{Width: 300, Height: 100}) || cfg.Term != "foot" || !cfg.Colour || !cfg.Full || cfg.Home != "/home/me" {
		t.Errorf("%+v, %v", cfg, err)
	}
	for name, value := range map[string]string{"width": "0", "height": "-1", "colour": "red", "full": "maybe", "other": "1"} {
		bad := url.Values{"width": {"80"}, "height": {"24"}}
		bad.Set(name, value)
		if _, err := parseTerminal(bad); err == nil {
			t.Errorf("%s=%s is accepted", name, value)
		}
	}
	for _, size := range []string{"", "1000000000", "10000", "x"} {
		if _, err := parseTerminal(url.Values{"width": {size}, "height": {size}}); err == nil {
			t.Errorf("the size %q is accepted", size)
		}
	}
}

// Whatever a terminal sends, only sizes that can be are passed on, and reading ends.
func FuzzFromTerminal(f *testing.F) {
	f.Add([]byte(frame(f, FromTerminal{Keys: []byte("x"), Width: 80, Height: 24, Resumed: true})))
	f.Add([]byte("{\"width\":1e9,\"height\":-1}\n{}\n\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		keys, typed := io.Pipe()
		r := &remote{keys: typed, resized: make(chan tui.Size, 1), resumed: make(chan struct{}, 1), ended: make(chan struct{})}
		go r.read(bytes.NewReader(sent))
		if _, err := io.Copy(io.Discard, keys); err != nil {
			t.Error(err)
		}
		select {
		case size := <-r.resized:
			if !isSize(size.Width, size.Height) {
				t.Errorf("%+v", size)
			}
		default:
		}
	})
}
