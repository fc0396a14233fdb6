package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

type record struct {
	Name  string   `json:"name"`
	Paths []string `json:"paths,omitempty"`
	Size  int64    `json:"size"`
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	var got record
	if err := ReadRecord(path, &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is none: %v", err)
	}
	for _, want := range []record{{Name: "a\nb \u2028<&>", Paths: []string{"ä", ""}, Size: 1 << 62}, {}} {
		if err := WriteRecord(path, want); err != nil {
			t.Fatal(err)
		}
		got = record{}
		if err := ReadRecord(path, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, wrote %+v: %v", got, want, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); len(entries) != 1 || err != nil {
		t.Errorf("%v is there, %v", entries, err)
	}
}

// A record that can't be written leaves the one before.
func TestRecordNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if err := WriteRecord(path, record{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"not UTF-8": record{Name: "\xff"},
		"too large": record{Name: strings.Repeat("x", maxRecord)},
		"no JSON":   func() {},
	} {
		if err := WriteRecord(path, v); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var got record
	if err := ReadRecord(path, &got); err != nil || got.Name != "first" {
		t.Errorf("%+v is left, %v", got, err)
	}
}

func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if err := WriteRecord(path, record{Name: "name", Size: 5}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte, v any) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if err := ReadRecord(path, v); !errors.As(err, &damaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range whole {
		check("cut", whole[:n], &record{})
		b := append([]byte{}, whole...)
		b[n] ^= 1
		check("a bit", b, &record{})
	}
	check("more", append(whole, '\n'), &record{})
	check("huge", make([]byte, maxRecord+1), &record{})
	check("another record", whole, &[]int{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Skip(err)
	}
	var damaged *DamagedError
	if err := ReadRecord(path, &record{}); !errors.As(err, &damaged) {
		t.Errorf("a link: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	path := filepath.Join(f.TempDir(), "record")
	if err := WriteRecord(path, record{Name: "name", Size: 5}); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if err := ReadRecord(path, &record{}); err != nil && !errors.As(err, &damaged) {
			t.Error(err)
		}
	})
}
