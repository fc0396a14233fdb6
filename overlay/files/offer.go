package files

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"quicpeer/overlay/files/manifest"
	"quicpeer/pb"
)

// Bounds of an offer, guesses.
const (
	maxShownNames = 20      // paths in it
	maxNameBytes  = 4 << 10 // these together, and the name: escaped as JSON they fit into pb.MaxOffer
	maxNote       = 1 << 10 // bytes of the word to the receiver
	maxOffers     = 256     // of ours that are not over
)

// Offer is the body of a message of the kind file: pb/quicpeer.proto has its fields. All of it is the word of the sender.
type Offer struct {
	Name     string   `json:"name"`
	Size     int64    `json:"size"`
	Files    int      `json:"files"`
	Manifest string   `json:"manifest"`
	Names    []string `json:"names"`
	Note     string   `json:"note,omitempty"`
}

// hash is that of the manifest.
func (o Offer) hash() (sum [32]byte) {
	_, _ = hex.Decode(sum[:], []byte(o.Manifest)) // ParseOffer has looked at it
	return sum
}

// ParseOffer reads the body of a message of the kind file, and checks it.
func ParseOffer(body string) (o Offer, err error) {
	if len(body) > pb.MaxOffer {
		return o, fmt.Errorf("an offer of %d bytes", len(body))
	}
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		return Offer{}, fmt.Errorf("not an offer of files: %w", err)
	}
	hash, err := hex.DecodeString(o.Manifest)
	switch {
	case err != nil || len(hash) != sha256.Size:
		return Offer{}, errors.New("not an offer of files: its manifest is not a SHA-256")
	case o.Name == "":
		return Offer{}, errors.New("not an offer of files: it has no name")
	case o.Size < 0 || o.Size > manifest.MaxSize:
		return Offer{}, fmt.Errorf("not an offer of files: a size of %d bytes", o.Size)
	case o.Files < 1 || o.Files > manifest.MaxEntries:
		return Offer{}, fmt.Errorf("not an offer of files: %d of them", o.Files)
	case len(o.Names) > min(maxShownNames, o.Files):
		return Offer{}, fmt.Errorf("not an offer of files: it names %d", len(o.Names))
	}
	return o, nil
}

func newOffer(m *manifest.Manifest, note string) Offer {
	hash := m.Hash()
	o := Offer{Size: m.Size(), Files: m.Len(), Manifest: hex.EncodeToString(hash[:]), Names: firstNames(m), Note: note}
	var tops []string
	for i := range m.Len() {
		if e := m.Entry(i); !strings.Contains(e.Path, "/") {
			tops = append(tops, shown(e))
		}
	}
	for i, top := range tops {
		if i > 0 && len(o.Name)+len(top) > maxNameBytes/8 {
			o.Name += fmt.Sprintf(" and %d more", len(tops)-i)
			break
		}
		if i > 0 {
			o.Name += ", "
		}
		o.Name += top
	}
	return o
}

// firstNames are the paths that an offer shows.
func firstNames(m *manifest.Manifest) (names []string) {
	bytes := 0
	for i := range min(m.Len(), maxShownNames) {
		name := shown(m.Entry(i))
		if bytes += len(name); bytes > maxNameBytes {
			break
		}
		names = append(names, name)
	}
	return names
}

// shown is the path of an entry, with a slash behind that of a directory.
func shown(e manifest.Entry) string {
	if e.Dir {
		return e.Path + "/"
	}
	return e.Path
}
