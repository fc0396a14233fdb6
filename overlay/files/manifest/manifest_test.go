package manifest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"quicpeer/pb"
)

var noon = time.Date(2024, 5, 6, 12, 0, 0, 123456789, time.UTC)

func dir(path string) Entry { return Entry{Path: path, Dir: true, Mode: 0o755, ModTime: noon} }
func file(path string, size int64) Entry {
	return Entry{Path: path, Size: size, Mode: 0o644, ModTime: noon}
}

func encode(list ...Entry) (b []byte) {
	for _, e := range list {
		b = appendEntry(b, e)
	}
	return b
}

func TestDecode(t *testing.T) {
	list := []Entry{
		file(".hidden", 5), dir("a"), dir("a/b"), file("a/b/c", 0), file("a/b c", 7), file("a/b-c", 1),
		file("a b", 3), {Path: "b", Mode: 0, ModTime: time.Time{}}, {Path: "c", Mode: 0o777, ModTime: time.Unix(0, 0)}, {Path: "d", ModTime: time.Unix(-5, 7)},
	}
	b := encode(list...)
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Len() != len(list) || m.Size() != 16 || m.Hash() != sha256.Sum256(b) || !bytes.Equal(m.Encode(), b) {
		t.Errorf("%d entries, %d bytes, %x", m.Len(), m.Size(), m.Hash())
	}
	if tops := m.Tops(); !slices.Equal(tops, []string{".hidden", "a", "a b", "b", "c", "d"}) {
		t.Errorf("the top level is %q", tops)
	}
	for i, want := range list {
		got := m.Entry(i)
		if !got.ModTime.Equal(want.ModTime) {
			t.Errorf("entry %d is from %v, not %v", i, got.ModTime, want.ModTime)
		}
		if got.ModTime = want.ModTime; got != want {
			t.Errorf("entry %d is %+v, not %+v", i, got, want)
		}
		if k, found := m.Find(want.Path); k != i || !found {
			t.Errorf("%q is entry %d, %v", want.Path, k, found)
		}
	}
	if _, found := m.Find("a/c"); found {
		t.Error("a/c was found")
	}
}

// The encoding is that of pb/quicpeer.proto.
func TestEncodingIsTheProtos(t *testing.T) {
	b := encode(dir("a"), file("a/b", 1<<40), Entry{Path: "c"})
	want := &pb.FileManifest{Entries: []*pb.FileEntry{
		{Path: "a", Dir: true, Mode: 0o755, Modified: proto.Int64(noon.UnixNano())},
		{Path: "a/b", Size: 1 << 40, Mode: 0o644, Modified: proto.Int64(noon.UnixNano())},
		{Path: "c"},
	}}
	var got pb.FileManifest
	if err := proto.Unmarshal(b, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("%v, %v", &got, err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("%x is not %x, %v", again, b, err)
	}
}

// Every rule is said with the entry that breaks it.
func TestRefusedManifests(t *testing.T) {
	deep := strings.TrimSuffix(strings.Repeat("a/", 100), "/")
	for name, c := range map[string]struct {
		list []Entry
		want string
	}{
		"none":                        {nil, "empty"},
		"a bad name":                  {[]Entry{file("a", 1), file("b:c", 1)}, `"b:c"`},
		"climbing":                    {[]Entry{dir("a"), file("a/../../b", 1)}, `"a/../../b"`},
		"twice":                       {[]Entry{file("a", 1), file("a", 1)}, "order"},
		"a directory twice":           {[]Entry{dir("a"), dir("a")}, "order"},
		"a file and a directory":      {[]Entry{file("a", 1), dir("a")}, "order"},
		"not sorted":                  {[]Entry{file("b", 1), file("a", 1)}, "order"},
		"not as they are walked":      {[]Entry{dir("a"), file("a-b", 1), file("a/b", 1)}, "order"},
		"differ in case":              {[]Entry{file("A", 1), file("a", 1)}, `from "A"`},
		"differ in case, deep":        {[]Entry{dir("a"), file("a/B", 1), file("a/C", 1), file("a/b", 1)}, `from "B"`},
		"directories differ in case":  {[]Entry{dir("A"), file("A/x", 1), dir("a")}, `from "A"`},
		"a file, a directory in case": {[]Entry{file("STRASSE", 1), dir("straße")}, `from "STRASSE"`},
		"differ in what is invisible": {[]Entry{file("ab", 1), file("a\u200db", 1)}, `from "ab"`},
		"no parent":                   {[]Entry{file("a/b", 1)}, "directory is not listed"},
		"no parent between":           {[]Entry{dir("a"), file("a/b/c", 1)}, "directory is not listed"},
		"another parent":              {[]Entry{dir("a"), dir("b"), file("b/c", 1), file("c/d", 1)}, "directory is not listed"},
		"below a file":                {[]Entry{file("a", 1), file("a/b", 1)}, "directory is not listed"},
		"a large directory":           {[]Entry{{Path: "a", Dir: true, Size: 1}}, "directory has a size"},
		"negative":                    {[]Entry{file("a", -1)}, "add up"},
		"too large":                   {[]Entry{file("a", MaxSize+1)}, "add up"},
		"too large together":          {[]Entry{file("a", MaxSize), file("b", 1)}, "add up"},
		"more than 64 bits":           {[]Entry{file("a", MaxSize), file("b", math.MaxInt64)}, "add up"},
		"too deep":                    {[]Entry{file(deep+"/b", 1)}, "levels deep"},
	} {
		_, err := Decode(encode(c.list...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, without %s", name, err, c.want)
		}
		if n := len(c.list); err != nil && n > 0 && !strings.Contains(err.Error(), fmt.Sprintf("%q", c.list[n-1].Path)) {
			t.Errorf("%s: %v does not name the entry", name, err)
		}
	}
	if m, err := Decode(encode(file("a", MaxSize), file("b", 0))); err != nil || m.Size() != MaxSize {
		t.Errorf("2^62 bytes: %v", err)
	}
}

func TestRefusedEncodings(t *testing.T) {
	whole := encode(dir("a"), file("a/b", 300), file("c", 1))
	for n := range whole {
		if m, err := Decode(whole[:n]); err == nil && m.Len() == 3 {
			t.Errorf("%d bytes are enough", n)
		}
	}
	entry := func(b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, fieldEntries, protowire.BytesType), b)
	}
	path := protowire.AppendString(protowire.AppendTag(nil, fieldPath, protowire.BytesType), "a")
	for name, b := range map[string][]byte{
		"not an entry":       protowire.AppendVarint(protowire.AppendTag(nil, fieldEntries, protowire.VarintType), 1),
		"field 0":            {0, 0},
		"an endless varint":  bytes.Repeat([]byte{0xff}, 20),
		"an endless entry":   {fieldEntries<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a path of a number": entry([]byte{fieldPath << 3, 1}),
		"a size of bytes":    entry(append(slices.Clone(path), fieldSize<<3|2, 1, 1)),
		"a cut size":         entry(append(slices.Clone(path), fieldSize<<3)),
		"a cut unknown":      entry(append(slices.Clone(path), 20<<3|2, 0)),
		"a cut group":        append(slices.Clone(whole), 7<<3|3),
		"no path":            entry([]byte{fieldSize << 3, 1}),
	} {
		if name == "a cut unknown" {
			b = b[:len(b)-1]
			b[1]--
		}
		if _, err := Decode(b); err == nil {
			t.Errorf("%s is a manifest", name)
		}
	}
	if _, err := Decode(make([]byte, MaxEncoded+1)); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("too many bytes: %v", err)
	}
	var many []byte
	for i := range MaxEntries + 1 {
		many = appendEntry(many, Entry{Path: fmt.Sprintf("%07d", i)})
	}
	if _, err := Decode(many); err == nil || !strings.Contains(err.Error(), "131072 entries") {
		t.Errorf("too many entries: %v", err)
	}
}

// What a later version adds is ignored, but hashed; of the mode only permissions count.
func TestUnknownFields(t *testing.T) {
	b := protowire.AppendString(protowire.AppendTag(nil, fieldPath, protowire.BytesType), "a")
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldMode, protowire.VarintType), 0o104755)
	b = protowire.AppendString(protowire.AppendTag(b, 20, protowire.BytesType), "later")
	encoded := protowire.AppendBytes(protowire.AppendTag(nil, fieldEntries, protowire.BytesType), b)
	encoded = protowire.AppendFixed32(protowire.AppendTag(encoded, 9, protowire.Fixed32Type), 9)
	m, err := Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if e := m.Entry(0); e != (Entry{Path: "a", Mode: 0o755}) || m.Hash() != sha256.Sum256(encoded) {
		t.Errorf("%+v, %x", e, m.Hash())
	}
}

// drawn is a sorted list of entries with right parents, and names of few characters.
func drawn(t *rapid.T) []Entry {
	paths := rapid.SliceOfN(rapid.StringMatching(`[a-cä -]{0,2}[a-cä](/[a-c -]{0,2}[a-cä]){0,3}`), 1, 30).Draw(t, "paths")
	files := map[string]Entry{}
	for _, p := range paths {
		if _, isDir := files[p]; isDir {
			continue
		}
		free := true
		for d, _ := split(p); d != ""; d, _ = split(d) {
			free = free && (files[d].Path == "" || files[d].Dir)
		}
		if !free {
			continue
		}
		files[p] = Entry{
			Path: p, Size: rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 5), rapid.Int64Range(0, 1<<40)).Draw(t, "size"),
			Mode:    fs.FileMode(rapid.IntRange(0, 0o777).Draw(t, "mode")),
			ModTime: time.Unix(0, rapid.Int64().Draw(t, "time")),
		}
		for d, _ := split(p); d != ""; d, _ = split(d) {
			files[d] = Entry{Path: d, Dir: true, Mode: 0o700, ModTime: time.Unix(1, 0)}
		}
	}
	var list []Entry
	for _, e := range files {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return compare(a.Path, b.Path) })
	return list
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawn(t)
		m, err := Decode(encode(list...))
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		for i, want := range list {
			if got := m.Entry(i); got != want {
				t.Fatalf("entry %d is %+v, not %+v", i, got, want)
			}
			if m.Start(i) != size {
				t.Fatalf("entry %d begins at %d, not %d", i, m.Start(i), size)
			}
			size += want.Size
		}
		if m.Len() != len(list) || m.Size() != size {
			t.Fatalf("%d entries of %d bytes", m.Len(), m.Size())
		}
	})
}

// The spans of a part of the stream cover it exactly, in order, whatever is asked for.
func TestSpansCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := Decode(encode(drawn(t)...))
		if err != nil {
			t.Fatal(err)
		}
		number := rapid.OneOf(rapid.Int64Range(-2, m.Size()+2), rapid.Int64Range(0, 20), rapid.Int64())
		offset, length := number.Draw(t, "offset"), number.Draw(t, "length")
		at, end := min(max(offset, 0), m.Size()), m.Size()
		if length < end-at {
			end = at + max(length, 0)
		}
		if offset < 0 || offset > m.Size() {
			end = at
		}
		for s := range m.Spans(offset, length) {
			e := m.Entry(s.Entry)
			if s.Length <= 0 || s.Offset < 0 || s.Offset+s.Length > e.Size || e.Dir || m.Start(s.Entry)+s.Offset != at {
				t.Fatalf("%+v at %d of %+v", s, at, e)
			}
			at += s.Length
		}
		if at != end {
			t.Fatalf("%d bytes at %d end at %d, not %d", length, offset, at, end)
		}
		for range m.Spans(offset, length) {
			break // is allowed
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(dir("a"), file("a/b", 300), file("c", 1)))
	f.Add(encode(file("A", 1), file("a", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		var sum int64
		seen := map[string]bool{}
		for i := range m.Len() {
			e := m.Entry(i)
			sum += e.Size
			parent, _ := split(e.Path)
			if err := Check(e.Path); err != nil || seen[Fold(e.Path)] || e.Size < 0 || sum < 0 || e.Mode&^fs.ModePerm != 0 {
				t.Errorf("entry %d is %+v, %v", i, e, err)
			}
			if k, found := m.Find(parent); parent != "" && (!found || k >= i || !m.Entry(k).Dir) {
				t.Errorf("%q has no directory", e.Path)
			}
			seen[Fold(e.Path)] = true
		}
		if sum != m.Size() || sum > MaxSize {
			t.Errorf("%d bytes are %d", sum, m.Size())
		}
		again := make([]Entry, 0, m.Len())
		for i := range m.Len() {
			again = append(again, m.Entry(i))
		}
		if n, err := Decode(encode(again...)); err != nil || n.Len() != m.Len() || n.Size() != m.Size() {
			t.Errorf("encoded again it is refused: %v", err)
		}
	})
}
