package manifest

import (
	"bytes"
	"encoding/gob"
	"errors"
	"io/fs"
)

// own is what a sender keeps of a manifest that it has built, so that a later run finds the sources.
type own struct {
	Encoded []byte
	Inodes  []uint64
	Tops    []ownTop
	Names   map[int]string
}

type ownTop struct {
	First, Root int
	Name, As    string
}

// EncodeOwn encodes a manifest that was built here, with where its entries come from: for [DecodeOwn].
func (m *Manifest) EncodeOwn() ([]byte, error) {
	o := own{Encoded: m.encoded, Inodes: m.source.inodes, Names: m.source.names}
	for _, t := range m.source.tops {
		o.Tops = append(o.Tops, ownTop{t.first, t.root, t.name, t.as})
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(o)
	return b.Bytes(), err
}

// DecodeOwn is Decode for what EncodeOwn has made of so many roots.
func DecodeOwn(b []byte, roots int) (*Manifest, error) {
	var o own
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&o); err != nil {
		return nil, err
	}
	m, err := Decode(o.Encoded)
	if err != nil {
		return nil, err
	}
	if len(o.Inodes) != m.Len() || len(o.Tops) == 0 || o.Tops[0].First != 0 {
		return nil, errors.New("a manifest of this peer is not whole")
	}
	m.source = &source{inodes: o.Inodes, names: o.Names}
	for _, t := range o.Tops {
		if t.Root < 0 || t.Root >= roots {
			return nil, errors.New("a manifest of this peer names a root that there is not")
		}
		m.source.tops = append(m.source.tops, top{t.First, t.Root, t.Name, t.As})
	}
	return m, nil
}

// IsSame says whether a file is the one that an entry of a manifest that was built here is about, as far as its size,
// time and inode tell.
func IsSame(e Entry, info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Size() == e.Size && storable(info.ModTime()).Equal(e.ModTime) && inode(info) == e.Inode
}
