package harness

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowness pretends that the machine becomes slower and recovers.
func TestSlowness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace := NewPace()
		began := pace.Now()
		after := func(wall, passed, left time.Duration, by Deadline) {
			t.Helper()
			time.Sleep(wall)
			if got := pace.Now() - began; got != passed {
				t.Errorf("%v have passed, not %v", got, passed)
			}
			if got := by.Left(); got != left {
				t.Errorf("%v are left, not %v", got, left)
			}
		}
		by := pace.In(10 * time.Second)
		after(4*time.Second, 4*time.Second, 6*time.Second, by)
		pace.Set(3) // all takes three times as long
		after(6*time.Second, 6*time.Second, 12*time.Second, by)
		pace.Set(0.5) // no machine is faster than an idle one
		after(3*time.Second, 9*time.Second, time.Second, by)
		after(2*time.Second, 11*time.Second, -time.Second, by)
		// A deadline from a moment that has passed, as "within" gives it.
		pace.Set(2)
		after(2*time.Second, 12*time.Second, 6*time.Second, pace.After(began+10*time.Second, 5*time.Second))
		if by.String() != "10s" {
			t.Errorf("the report says %v", by)
		}
	})
}

// TestWaitIsStretched: output that comes later than its deadline is in time on a machine that
// is as slow as that, also if it becomes so during the wait.
func TestWaitIsStretched(t *testing.T) {
	for _, test := range []struct {
		slowness float64
		comes    time.Duration
		want     error
		until    time.Duration
	}{
		{1, 4 * time.Second, nil, 4 * time.Second},
		{1, 6 * time.Second, ErrTooLate, 5 * time.Second},
		{3, 12 * time.Second, nil, 12 * time.Second},
		{3, 14 * time.Second, ErrTooLate, 13 * time.Second}, // 1 s as an idle machine, 4 s of 3
	} {
		synctest.Test(t, func(t *testing.T) {
			pace := NewPace()
			p := &Process{changed: make(chan struct{})}
			came := false
			time.AfterFunc(time.Second, func() { pace.Set(test.slowness) })
			time.AfterFunc(test.comes, func() { p.Change(func() { came = true }) })
			began := time.Now()
			err := p.Wait(pace.In(5*time.Second), func(State) (bool, error) { return came, nil })
			if took := time.Since(began).Round(time.Millisecond); !errors.Is(err, test.want) || took != test.until {
				t.Errorf("slowness %v, comes after %v: %v after %v", test.slowness, test.comes, err, took)
			}
			time.Sleep(time.Minute) // until all timers have fired
		})
	}
}

// TestSample: a machine is measured, and never faster than an idle one.
func TestSample(t *testing.T) {
	pace, stop := StartPace()
	stop()
	if s := pace.Slowness(); s < 1 {
		t.Errorf("slowness %v", s)
	}
}

func TestCrash(t *testing.T) {
	for log, want := range map[string]string{
		"":                         "",
		"all is well, no panic: x": "",
		"a\npanic: oh no\nb\n":     "panic: oh no\nb\n",
		"WARNING: DATA RACE\n":     "WARNING: DATA RACE\n",
		"x\nfatal error: all goroutines are asleep": "fatal error: all goroutines are asleep",
	} {
		if got := Crash(log); got != want {
			t.Errorf("%q: %q", log, got)
		}
	}
}

func TestEvent(t *testing.T) {
	e := ParseEvent(`{"event":"x","n":12345678901234567890,"list":["a<b"],"nothing":null,"text":"t"}`)
	for field, want := range map[string]string{"event": "x", "n": "12345678901234567890", "list": `["a<b"]`, "nothing": "null", "text": "t", "absent": ""} {
		if got := e.Field(field); got != want {
			t.Errorf("%s is %q, not %q", field, got, want)
		}
	}
	for _, raw := range []string{"", "x", `"event"`, `{"event":1}`, `{}`} {
		if e := ParseEvent(raw); e.Name != "" {
			t.Errorf("%q is the event %q", raw, e.Name)
		}
	}
}

func TestWriteCuts(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cuts")
	for _, want := range []string{"", "127.0.0.1:1\n127.0.0.1:2\n", ""} {
		var addresses []string
		if want != "" {
			addresses = []string{"127.0.0.1:1", "127.0.0.1:2"}
		}
		if err := WriteCuts(name, addresses); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// A copy is not one if a byte, a name, the permissions, the time or the length is another.
func TestCheckCopy(t *testing.T) {
	at := time.Unix(1e9, 0)
	for what, do := range map[string]func(name string, was []byte) error{
		"byte": func(name string, was []byte) error {
			return errors.Join(os.WriteFile(name, append([]byte{was[0] + 1}, was[1:]...), 0), os.Chtimes(name, at, at))
		},
		"length": func(name string, was []byte) error {
			return errors.Join(os.WriteFile(name, was[1:], 0), os.Chtimes(name, at, at))
		},
		"time": func(name string, _ []byte) error { return os.Chtimes(name, at, at.Add(time.Microsecond)) },
		"mode": func(name string, _ []byte) error { return os.Chmod(name, 0o444) },
		"name": func(name string, _ []byte) error { return os.Rename(name, name+"x") },
		"more": func(name string, _ []byte) error { return os.Mkdir(name+"x", 0o755) },
		"less": func(name string, _ []byte) error { return os.Remove(name) },
	} {
		dir := t.TempDir()
		of, copied := filepath.Join(dir, "of"), filepath.Join(dir, "copied")
		for _, top := range []string{of, copied} {
			if size, err := MakeFiles(top, 3, 5000, 1); err != nil || size < 3 || size > 15000 {
				t.Fatal(size, err)
			}
		}
		err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chtimes(name, at, at)) })
		if err = errors.Join(err, CheckCopy(of, copied)); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(copied, "0000", "01 é 漢.bin")
		was, err := os.ReadFile(name)
		if err = errors.Join(err, do(name, was)); err != nil {
			t.Fatal(err)
		}
		if err = CheckCopy(of, copied); err == nil {
			t.Errorf("another %s is not seen", what)
		}
	}
}
