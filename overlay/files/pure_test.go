package files

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"quicpeer/overlay/files/manifest"
	"quicpeer/pb"
)

func TestRule(t *testing.T) {
	for text, want := range map[string]string{
		"": "ask", "ask": "ask", "never": "never", "all": "all bob 5", "from=bob": "bob 5", "from=carol,bob;max=4": "", "all;max=1K": "all bob 5",
		"from=bob;dir=/tmp/x": "bob 5 /tmp/x", "all;max=2G;dir=/y": "all bob 5 /y",
	} {
		r, err := ParseRule(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		switch {
		case r.Never:
			got = append(got, "never")
		case !r.All && r.From == nil:
			got = append(got, "ask")
		}
		if r.accepts("dave", 5) {
			got = append(got, "all")
		}
		if r.accepts("bob", 5) {
			got = append(got, "bob 5")
		}
		if r.Dir != "" {
			got = append(got, r.Dir)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	for _, bad := range []string{"maybe", "from=", "from=b b", "max=5", "all;max=", "all;max=-1", "all;max=9999999999G", "dir=/x", "all;dir=", "all,", "never;all"} {
		if r, err := ParseRule(bad); err == nil {
			t.Errorf("%q is a rule: %+v", bad, r)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "500K": 500 << 10, "20m": 20 << 20, "2G": 2 << 30, "1T": 1 << 40, "": 0, "G": 0, "0": 0, "-5": 0, "1.5M": 0, "9223372036854775807K": 0} {
		if got, err := ParseSize(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

// An offer, of whatever names, fits into its message and says what it is of.
func TestOffer(t *testing.T) {
	long := fstest.MapFS{}
	for i := range 300 {
		long[strings.Repeat("\u00e4", 100)+string(rune('a'+i%26))+string(rune('a'+i/26))] = &fstest.MapFile{Data: []byte("x")}
	}
	for name, fs := range map[string]fstest.MapFS{
		"one":  {"report.pdf": {Data: make([]byte, 1000)}},
		"tree": {"photos/a": {}, "photos/b/c": {Data: []byte("x")}, "z": {}},
		"long": long,
	} {
		var roots []manifest.Root
		top, err := fs.ReadDir(".")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range top {
			roots = append(roots, manifest.Root{FS: fs, Name: e.Name()})
		}
		m, _, err := manifest.Build(t.Context(), roots)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(newOffer(m, strings.Repeat("\x01", maxNote)))
		if err != nil || len(body) > pb.MaxOffer {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
		}
		o, err := ParseOffer(string(body))
		if err != nil || o.hash() != m.Hash() || o.Size != m.Size() || o.Files != m.Len() {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func FuzzOffer(f *testing.F) {
	hash := strings.Repeat("0a", 32)
	f.Add(`{"name":"a","size":5,"files":1,"manifest":"` + hash + `","names":["a"]}`)
	f.Add(`{"name":"","size":-5,"files":1e9,"manifest":"` + hash + `"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		o, err := ParseOffer(body)
		if err == nil && (o.Size < 0 || o.Files < 1 || len(o.Names) > o.Files || o.Name == "") {
			t.Errorf("%+v is an offer", o)
		}
	})
}

// A rate is what comes, soon after it has begun and after it has changed, and 0 when nothing comes.
func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(0, 0)
	for _, rate := range []int64{1 << 20, 50 << 20, 5 << 20} {
		for range 300 {
			now = now.Add(100 * time.Millisecond)
			m.add(rate/10, now)
		}
		if got := m.perSecond(now); got < rate*9/10 || got > rate*11/10 {
			t.Errorf("%d bytes a second, not %d", got, rate)
		}
		if left := m.left(10*rate, now); left < 9*time.Second || left > 12*time.Second {
			t.Errorf("ten seconds are left, not %v", left)
		}
	}
	if got := m.perSecond(now.Add(time.Minute)); got != 0 {
		t.Errorf("%d bytes a second, and nothing comes", got)
	}
}
