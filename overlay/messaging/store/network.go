package store

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// rootFile holds the private half of a private network's key, PKCS#8, in the directory of the peer
// that has made it. It is needed to make and to remove admins, and for nothing else: so it can be
// kept elsewhere.
const rootFile = "network.key"

// Membership is a peer's network and, of a private one, its pass; nil: it has none yet.
type Membership struct {
	Network certs.Network
	Pass    *pb.Pass
}

// Membership is that of the directory; false: it was in no network yet.
func (s *State) Membership() (Membership, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.member == nil {
		return Membership{}, false
	}
	return *s.member, true
}

// CheckNetwork returns an [OtherNetworkError] if the directory is that of another network: its
// waiting messages are for peers of that one, and not for the peers that have their IDs here.
func (s *State) CheckNetwork(n certs.Network) error {
	if m, ok := s.Membership(); ok && m.Network != n {
		return &OtherNetworkError{Dir: s.Dir, Stored: m.Network.Label(), Wanted: n.Label()}
	}
	return nil
}

// Enter is called when the peer is in a network, or has a pass for it. The first network is kept in
// the directory, safe from a crash: it is that network's from then on. A peer that was let into none,
// since it was started with a wrong name, has not bound its directory.
func (s *State) Enter(m Membership) error {
	if err := s.CheckNetwork(m.Network); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.member == nil && m.Network.IsPrivate() && m.Pass == nil {
		return errors.New("a private network is entered with a pass")
	}
	if s.member != nil && (m.Pass == nil || proto.Equal(s.member.Pass, m.Pass)) {
		return nil
	}
	if s.Dir != "" {
		if err := ReplaceFile(filepath.Join(s.Dir, networkFile), m.encode()); err != nil {
			return err
		}
	}
	s.member = &m
	return nil
}

// Found makes the key of a private network, in the directory, and the pass of this peer, its first
// admin. It fails if the directory is that of another network.
func (s *State) Found(name string, number uint64) error {
	root, err := s.RootKey()
	if errors.Is(err, fs.ErrNotExist) {
		root, err = makeKey(filepath.Join(s.Dir, rootFile))
	}
	if err != nil {
		return err
	}
	key := s.Identity.Key()
	network := certs.Network{Name: name, Key: root.Key()}
	grant := root.SignGrant(network.Key, &pb.Grant{Id: string(s.ID), Key: key[:], Number: number, Admin: true})
	return s.Enter(Membership{Network: network, Pass: &pb.Pass{Grant: grant}})
}

// RootKey is the key of the private network; fs.ErrNotExist if it is not in this directory.
func (s *State) RootKey() (*certs.Identity, error) {
	if s.Dir == "" {
		return nil, fs.ErrNotExist
	}
	return readKey(filepath.Join(s.Dir, rootFile))
}

// NetworkPath is where the membership is kept.
func (s *State) NetworkPath() string { return filepath.Join(s.Dir, networkFile) }

// RootPath is where it is kept.
func (s *State) RootPath() string { return filepath.Join(s.Dir, rootFile) }

// The network's file has a line with its label and, of a private one, a line with its key and one
// with the pass, both in base64.
const (
	keyLine  = "key "
	passLine = "pass "
)

func (m Membership) encode() []byte {
	lines := m.Network.Label() + "\n"
	if m.Network.IsPrivate() {
		lines += keyLine + base64.StdEncoding.EncodeToString(m.Network.Key[:]) + "\n"
	}
	if m.Pass != nil {
		if b, err := proto.Marshal(m.Pass); err == nil { // it was read from the wire, or is ours
			lines += passLine + base64.StdEncoding.EncodeToString(b) + "\n"
		}
	}
	return []byte(lines)
}

// readNetwork returns the stored membership, nil where there is none.
func readNetwork(dir string) (*Membership, error) {
	path := filepath.Join(dir, networkFile)
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	m, err := parseNetwork(string(b))
	if err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	if m.Network.IsPrivate() {
		if err := checkMode(path); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func parseNetwork(s string) (*Membership, error) {
	lines := strings.Split(strings.TrimRight(s, "\r\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r")
	}
	m := &Membership{Network: certs.Network{Name: lines[0]}}
	if err := pb.CheckNetwork(m.Network.Name); err != nil {
		return nil, err
	}
	for _, line := range lines[1:] {
		word, text, _ := strings.Cut(line, " ")
		b, err := base64.StdEncoding.DecodeString(text)
		switch {
		case err != nil:
			return nil, errors.New("a line that is not base64")
		case word+" " == keyLine && len(b) == len(m.Network.Key):
			m.Network = certs.Network{Name: strings.Split(lines[0], "#")[0], Key: certs.PublicKey(b)}
		case word+" " == passLine:
			m.Pass = new(pb.Pass)
			if err := proto.Unmarshal(b, m.Pass); err != nil {
				return nil, errors.New("a pass that can't be read")
			}
			if err := pb.CheckPass(m.Pass); err != nil {
				return nil, err
			}
		default:
			return nil, errors.New("a line that is not known")
		}
	}
	switch {
	case m.Network.Label() != lines[0]:
		return nil, errors.New("the key is not that of the network named")
	case m.Network.IsPrivate() != (m.Pass != nil):
		return nil, errors.New("of a private network there is either no key or no pass")
	}
	return m, nil
}
