package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// meeting is a handshake: what the client and the server say of it.
type meeting struct {
	dialled, accepted error
	client, server    tls.ConnectionState
}

func handshake(t *testing.T, client, server *tls.Config) (m meeting) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	there := make(chan error, 1)
	s, c := tls.Server(far, server), tls.Client(near, client)
	go func() {
		err := s.HandshakeContext(t.Context())
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		far.Close()
		there <- err
	}()
	m.dialled = c.HandshakeContext(t.Context())
	if m.dialled == nil {
		_, m.dialled = c.Read(make([]byte, 1)) // in TLS 1.3 the server judges after the client
	}
	near.Close()
	m.accepted = <-there
	m.client, m.server = c.ConnectionState(), s.ConnectionState()
	return m
}

func configOf(t *testing.T, i *Identity, want PublicKey) *tls.Config {
	t.Helper()
	config, err := i.TLS(want, nil)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestTLS: each side knows the key of the other, whom it accepts only if it has dialled it.
func TestTLS(t *testing.T) {
	alice, bob := NewIdentity(make([]byte, 32)), NewIdentity([]byte("................................"))
	m := handshake(t, configOf(t, alice, bob.Key()), configOf(t, bob, PublicKey{}))
	if m.dialled != nil || m.accepted != nil {
		t.Fatal(m.dialled, m.accepted)
	}
	if got, err := PeerKey(m.client); err != nil || got != bob.Key() {
		t.Errorf("the client knows %v, %v", got, err)
	}
	if got, err := PeerKey(m.server); err != nil || got != alice.Key() {
		t.Errorf("the server knows %v, %v", got, err)
	}

	dialled := handshake(t, configOf(t, alice, PublicKey{9}), configOf(t, bob, PublicKey{})).dialled
	if wrong, ok := errors.AsType[*WrongKeyError](dialled); !ok || wrong.Want != (PublicKey{9}) || wrong.Got != bob.Key() ||
		!strings.Contains(wrong.Error(), bob.String()) {
		t.Errorf("another peer answers: %v", dialled)
	}
	if dialled = handshake(t, configOf(t, alice, PublicKey{}), configOf(t, alice, PublicKey{})).dialled; !errors.Is(dialled, ErrSelf) {
		t.Errorf("dialled itself: %v", dialled)
	}
	copied := NewIdentity(make([]byte, 32)) // another run with the key
	if dialled = handshake(t, configOf(t, alice, PublicKey{}), configOf(t, copied, PublicKey{})).dialled; !errors.Is(dialled, ErrTwin) {
		t.Errorf("dialled a copy: %v", dialled)
	}
}

// TestProtocols: the side that answers speaks what it is asked for, if it knows that.
func TestProtocols(t *testing.T) {
	alice, bob := NewIdentity(make([]byte, 32)), NewIdentity([]byte("................................"))
	config := func(i *Identity, door *Door, protocols ...string) *tls.Config {
		c, err := i.TLS(PublicKey{}, door, protocols...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, door := range []*Door{nil, NewDoor(PublicKey{1})} {
		for asked, want := range map[string]string{ALPN: ALPN, ALPNFile: ALPNFile, "": ALPN, "quicpeer/2": ""} {
			from := config(alice, door)
			if asked != "" {
				from = config(alice, door, asked)
			}
			m := handshake(t, from, config(bob, door, ALPN, ALPNFile))
			if m.client.NegotiatedProtocol != want || m.server.NegotiatedProtocol != want || (m.dialled == nil) != (want != "") {
				t.Errorf("asked for %q: they speak %q and %q, %v", asked, m.client.NegotiatedProtocol, m.server.NegotiatedProtocol, m.dialled)
			}
		}
		if m := handshake(t, config(alice, door, ALPNFile), config(bob, door)); m.dialled == nil || !strings.Contains(m.dialled.Error(), "no application protocol") {
			t.Errorf("an older peer: %v", m.dialled)
		}
	}
}

// TestTLSRefuses: whoever shows anything but one valid Ed25519 certificate, or speaks another
// protocol, gets no connection, whichever side it is on.
func TestTLSRefuses(t *testing.T) {
	alice, bob := NewIdentity(make([]byte, 32)), NewIdentity([]byte("................................"))
	good := configOf(t, bob, PublicKey{}).Certificates[0]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(-time.Hour)}
	expired, err := x509.CreateCertificate(nil, template, template, bob.private.Public(), bob.private)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotAfter = time.Now().Add(time.Hour)
	other, err := x509.CreateCertificate(rand.Reader, template, template, curve.Public(), curve)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*tls.Config)
		says   string // at the side that refuses
	}{
		"expired": {func(c *tls.Config) { c.Certificates[0].Certificate = [][]byte{expired} }, "expired on"},
		"another kind": {func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{other}, PrivateKey: curve}}
		}, "not Ed25519"},
		"two": {func(c *tls.Config) {
			c.Certificates[0].Certificate = [][]byte{good.Certificate[0], good.Certificate[0]}
		}, "2 certificates"},
		"an old TLS":     {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, "version"},
		"other protocol": {func(c *tls.Config) { c.NextProtos = []string{"h3"} }, "protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, dials := range []bool{true, false} {
				bad := configOf(t, bob, PublicKey{})
				test.change(bad)
				ours := configOf(t, alice, PublicKey{})
				var err error
				if dials {
					err = handshake(t, bad, ours).accepted
				} else {
					err = handshake(t, ours, bad).dialled
				}
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("it dials: %v: %v", dials, err)
				}
			}
		})
	}
	// A client without a certificate.
	bare := configOf(t, bob, PublicKey{})
	bare.Certificates = nil
	if handshake(t, bare, configOf(t, alice, PublicKey{})).accepted == nil {
		t.Error("a client without a certificate is accepted")
	}
}
