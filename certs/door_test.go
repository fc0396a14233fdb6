package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestDoorGolden: what follows from a network's key must never change, or members of two versions
// do not find each other. The values were computed by another program, from the RFCs.
func TestDoorGolden(t *testing.T) {
	var n PublicKey
	for i := range n {
		n[i] = byte(i + 1)
	}
	d := NewDoor(n)
	mark := d.Mark([8]byte{0, 1, 2, 3, 4, 5, 6, 7})
	for what, c := range map[string]struct{ got, want string }{
		"config": {hex.EncodeToString(d.config), "fe0d003f" + "00" + "0020" + "0020" + "70ffec732c13344246b74464e478041dfac7e09db5256a596b42c48660567e65" +
			"0004" + "00010003" + "28" + "10" + hex.EncodeToString([]byte("quicpeer.invalid")) + "0000"},
		"key":  {hex.EncodeToString(d.private), "58316a940c34ca20dee57796c742b75c71f9035f30b2d58fbe9d22d482b3ba47"},
		"name": {d.name, "ef762839ba9162383a444229bb757350.invalid"},
		"mark": {hex.EncodeToString(mark[:]), "b0284a60d6a3ec84"},
	} {
		if c.got != c.want {
			t.Errorf("the %s is %s", what, c.got)
		}
	}
}

// readConfig reads an ECHConfig as RFC 9849, 4, writes it, and returns its key and its two lengths
// of names.
func readConfig(b []byte) (key []byte, longest int, outside string, err error) {
	r := bytes.NewReader(b)
	number := func(size int) int {
		var b [8]byte
		if _, e := io.ReadFull(r, b[8-size:]); e != nil && err == nil {
			err = e
		}
		return int(binary.BigEndian.Uint64(b[:]))
	}
	vector := func(size int) []byte {
		b := make([]byte, min(number(size), r.Len()+1))
		if _, e := io.ReadFull(r, b); e != nil && err == nil {
			err = e
		}
		return b
	}
	version, length := number(2), number(2)
	if rest := r.Len(); version != 0xfe0d || length != rest {
		return nil, 0, "", errors.New("not an ECHConfig of this version, or of another length")
	}
	id, kem := number(1), number(2)
	key = vector(2)
	suites := vector(2)
	longest, outside = number(1), string(vector(1))
	extensions := vector(2)
	if id != 0 || kem != 0x20 || len(key) != 32 || !bytes.Equal(suites, []byte{0, 1, 0, 3}) || len(extensions) != 0 || r.Len() != 0 {
		err = errors.Join(err, errors.New("other contents"))
	}
	return key, longest, outside, err
}

// doorOf is the configuration of an identity with a door, and counts its signatures.
func doorOf(t *testing.T, i *Identity, door *Door) (*tls.Config, *int) {
	t.Helper()
	config, err := i.TLS(PublicKey{}, door)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{Signer: config.Certificates[0].PrivateKey.(crypto.Signer)}
	config.Certificates[0].PrivateKey = s
	return config, &s.count
}

// signer counts the signatures that it makes.
type signer struct {
	crypto.Signer
	count int
}

func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.count++
	return s.Signer.Sign(rand, digest, opts)
}

// TestDoor: members see each other through the door as without one, and nobody else sees
// anything: of the two sides the one that would show itself first makes no signature.
func TestDoor(t *testing.T) {
	alice, bob := NewIdentity(make([]byte, 32)), NewIdentity(bytes.Repeat([]byte{1}, 32))
	ours, others := NewDoor(PublicKey{1}), NewDoor(PublicKey{2})
	for _, test := range []struct {
		name               string
		from, to           *Door
		change             func(from *tls.Config)
		dialled, accepted  string // errors; empty: none
		signsFrom, signsTo int
	}{
		{name: "members", from: ours, to: ours, signsFrom: 1, signsTo: 1},
		{name: "an open network", signsFrom: 1, signsTo: 1},
		{name: "a stranger", to: ours, dialled: "no application protocol", accepted: "unsupported application protocols"},
		{name: "a stranger that asks for files", to: ours, change: func(c *tls.Config) { c.NextProtos = []string{ALPNFile} },
			dialled: "no application protocol", accepted: "unsupported application protocols"},
		{name: "another network", from: others, to: ours, dialled: "no application protocol", accepted: "unsupported application protocols"},
		{name: "a stranger that guesses the other protocol", to: ours, change: func(c *tls.Config) {
			c.NextProtos = []string{"none", "h2", "h3", outsideName}
		}, dialled: "no application protocol", accepted: "unsupported application protocols"},
		{name: "a stranger with the outer name", to: ours, change: func(c *tls.Config) { c.ServerName = outsideName },
			dialled: "no application protocol", accepted: "unsupported application protocols"},
		{name: "another name in a sealed hello", from: ours, to: ours, change: func(c *tls.Config) { c.ServerName = others.name },
			dialled: "no application protocol", accepted: "unsupported application protocols"},
		// Only members know the name, and they have to seal it.
		{name: "the name in a hello that is not sealed", to: ours, change: func(c *tls.Config) { c.ServerName = ours.name },
			dialled: "bad certificate", accepted: ErrOutside.Error(), signsFrom: 1, signsTo: 1},
		{name: "a member and an open peer", from: ours, dialled: ErrOutside.Error(), accepted: "bad certificate", signsTo: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, signsFrom := doorOf(t, alice, test.from)
			to, signsTo := doorOf(t, bob, test.to)
			if test.change != nil {
				test.change(from)
			}
			m := handshake(t, from, to)
			for what, c := range map[string]struct {
				err  error
				want string
			}{"dialled": {m.dialled, test.dialled}, "accepted": {m.accepted, test.accepted}} {
				if (c.err == nil) != (c.want == "") || c.err != nil && !strings.Contains(c.err.Error(), c.want) {
					t.Errorf("%s: %v, not %q", what, c.err, c.want)
				}
			}
			if *signsFrom != test.signsFrom || *signsTo != test.signsTo {
				t.Errorf("%d signatures of the dialler and %d of the other side", *signsFrom, *signsTo)
			}
			if n := len(m.server.PeerCertificates); n != test.signsFrom {
				t.Errorf("the other side sees %d certificates", n)
			}
			if m.dialled == nil && (m.client.ECHAccepted != (test.from != nil) || m.server.ECHAccepted != (test.to != nil)) {
				t.Error("it is not said whether the hello was sealed")
			}
		})
	}
	// Keys are judged as without a door.
	if err := handshake(t, mustTLS(t, alice, PublicKey{9}, ours), mustTLS(t, bob, PublicKey{}, ours)).dialled; !errors.As(err, new(*WrongKeyError)) {
		t.Errorf("another member answers: %v", err)
	}
	if err := handshake(t, mustTLS(t, alice, PublicKey{}, ours), mustTLS(t, alice, PublicKey{}, ours)).dialled; !errors.Is(err, ErrSelf) {
		t.Errorf("dialled itself: %v", err)
	}
}

func mustTLS(t *testing.T, i *Identity, want PublicKey, door *Door) *tls.Config {
	t.Helper()
	config, err := i.TLS(want, door)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestNoDoor: an open network's configuration has nothing of a door.
func TestNoDoor(t *testing.T) {
	c := configOf(t, NewIdentity(make([]byte, 32)), PublicKey{})
	if c.EncryptedClientHelloConfigList != nil || c.EncryptedClientHelloKeys != nil || c.GetEncryptedClientHelloKeys != nil ||
		c.EncryptedClientHelloRejectionVerify != nil || c.GetConfigForClient != nil || c.ServerName != "" {
		t.Errorf("it has %+v", c)
	}
}

// FuzzDoor: any key of a network gives a door that TLS takes; a bit more gives another one.
func FuzzDoor(f *testing.F) {
	f.Add(make([]byte, 32), byte(0))
	f.Add(bytes.Repeat([]byte{0xff}, 32), byte(255))
	alice, bob := NewIdentity(make([]byte, 32)), NewIdentity(bytes.Repeat([]byte{1}, 32))
	f.Fuzz(func(t *testing.T, network []byte, bit byte) {
		var n PublicKey
		copy(n[:], network)
		d := NewDoor(n)
		key, longest, outside, err := readConfig(d.config)
		if err != nil || longest != len(d.name) || outside != outsideName {
			t.Fatalf("the config %x: longest name %d, %q, %v", d.config, longest, outside, err)
		}
		if m := handshake(t, mustTLS(t, alice, PublicKey{}, d), mustTLS(t, bob, PublicKey{}, NewDoor(n))); m.dialled != nil || m.accepted != nil {
			t.Fatalf("%v, %v", m.dialled, m.accepted)
		}
		n[bit/8] ^= 1 << (bit % 8)
		other := NewDoor(n)
		if otherKey, _, _, _ := readConfig(other.config); bytes.Equal(key, otherKey) || other.name == d.name || other.Mark([8]byte{}) == d.Mark([8]byte{}) {
			t.Error("two networks have something in common")
		}
	})
}
