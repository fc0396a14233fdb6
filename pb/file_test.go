package pb

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func fileFrame(t testing.TB, m proto.Message) []byte {
	b, err := AppendFile(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFileFrames(t *testing.T) {
	id, root := make([]byte, 16), make([]byte, 32)
	for name, m := range map[string]*FileRequest{
		"manifest":   {Offer: id, Want: FileWant_MANIFEST},
		"data":       {Offer: id, Want: FileWant_DATA, Offset: 5 << 20},
		"root":       {Offer: id, Want: FileWant_ROOT, Root: root},
		"not known":  {Offer: id, Want: 99, Offset: 1},
		"the latest": {Offer: id, Want: FileWant_DATA, Offset: 1 << 62},
	} {
		got, err := ReadFileRequest(bufio.NewReader(bytes.NewReader(fileFrame(t, m))))
		if err != nil || !proto.Equal(got, m) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, m := range map[string]proto.Message{
		"no offer":         &FileRequest{Want: FileWant_DATA},
		"a long offer":     &FileRequest{Offer: root, Want: FileWant_DATA},
		"a crooked offset": &FileRequest{Offer: id, Want: FileWant_DATA, Offset: 1},
		"a huge offset":    &FileRequest{Offer: id, Want: FileWant_DATA, Offset: 1 << 63},
		"no root":          &FileRequest{Offer: id, Want: FileWant_ROOT},
		"too long":         &FileAnswer{Reason: string(make([]byte, 2000))},
	} {
		if _, err := ReadFileRequest(bufio.NewReader(bytes.NewReader(fileFrame(t, m)))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFileAnswer(bufio.NewReader(bytes.NewReader(fileFrame(t, &FileAnswer{Reason: string(make([]byte, MaxReason+1))})))); !errors.Is(err, ErrMalformed) {
		t.Errorf("a long reason: %v", err)
	}
	for name, want := range map[string]error{"": io.EOF, "\x05ab": io.ErrUnexpectedEOF, "\x80": io.ErrUnexpectedEOF, "\x02\xff\xff": ErrMalformed} {
		if _, err := ReadFileAnswer(bufio.NewReader(bytes.NewReader([]byte(name)))); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzFileFrames(f *testing.F) {
	f.Add(fileFrame(f, &FileRequest{Offer: make([]byte, 16), Want: FileWant_DATA, Offset: 1 << 20}))
	f.Add(fileFrame(f, &FileAnswer{Code: FileCode_MISMATCH, Reason: "no"}))
	f.Add(protowire.AppendVarint(nil, 1<<40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ReadFileRequest(bufio.NewReader(bytes.NewReader(b))); err == nil && checkFileRequest(m) != nil {
			t.Errorf("%v is let through", m)
		}
		if m, err := ReadFileAnswer(bufio.NewReader(bytes.NewReader(b))); err == nil && len(m.GetReason()) > MaxReason {
			t.Errorf("%v is let through", m)
		}
	})
}
