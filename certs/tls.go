package certs

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ALPN names the protocol of links and its version in TLS, ALPNFile that of connections for files.
const (
	ALPN     = "quicpeer/1"
	ALPNFile = "quicpeer-file/1"
)

// ErrSelf ends a handshake with ourselves, ErrTwin one with another process that has our key:
// the two show certificates with different serial numbers, which each run draws for itself
// (and which tell strangers nothing: TLS 1.3 encrypts certificates).
var (
	ErrSelf = errors.New("this is our own address")
	ErrTwin = errors.New("another process runs there with the key of this one, as a copy of the state directory would")
)

// WrongKeyError ends a handshake with a peer other than the one dialled.
type WrongKeyError struct{ Want, Got PublicKey }

func (e *WrongKeyError) Error() string {
	return fmt.Sprintf("another peer answers there: key %v, not %v", e.Got, e.Want)
}

// Certificate makes the identity's self-signed certificate. It is valid from
// 1970 and never expires (RFC 5280, 4.1.2.5: 99991231235959Z), since the key is
// the identity, and since a peer whose clock is wrong takes part like any other.
func (i *Identity) Certificate() (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: i.run,
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	// Ed25519 signatures need no randomness.
	der, err := x509.CreateCertificate(nil, template, template, i.private.Public(), i.private)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.private}, nil
}

// TLS returns the configuration of a connection, for either side. If want is not zero, only the
// peer with that key is accepted; with a door only one that knows its network. The protocols are
// those that this side speaks, the best first; none: ALPN. VerifyConnection checks the peer:
// unlike VerifyPeerCertificate it runs in every handshake.
func (i *Identity) TLS(want PublicKey, door *Door, protocols ...string) (*tls.Config, error) {
	certificate, err := i.Certificate()
	if err != nil {
		return nil, err
	}
	if len(protocols) == 0 {
		protocols = []string{ALPN}
	}
	config := &tls.Config{
		Certificates:           []tls.Certificate{certificate},
		NextProtos:             protocols,
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // names and chains mean nothing here; VerifyConnection judges the key
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			key, err := PeerKey(state)
			switch {
			case err != nil:
				return err
			case key == i.public && state.PeerCertificates[0].SerialNumber.Cmp(i.run) != 0:
				return ErrTwin
			case key == i.public:
				return ErrSelf
			case want != (PublicKey{}) && key != want:
				return &WrongKeyError{Want: want, Got: key}
			}
			return nil
		},
	}
	if door != nil {
		door.guard(config)
	}
	return config, nil
}

// PeerKey returns the key of the other side of a TLS connection: that of its only certificate,
// which must be Ed25519 and not expired. TLS has proved that the other side owns it.
func PeerKey(state tls.ConnectionState) (PublicKey, error) {
	if len(state.PeerCertificates) != 1 {
		return PublicKey{}, fmt.Errorf("the peer shows %d certificates, not one", len(state.PeerCertificates))
	}
	certificate := state.PeerCertificates[0]
	key, ok := certificate.PublicKey.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("the peer's certificate has a key of type %v, not Ed25519", certificate.PublicKeyAlgorithm)
	}
	if time.Now().After(certificate.NotAfter) {
		return PublicKey{}, fmt.Errorf("the peer's certificate expired on %s", certificate.NotAfter.Format(time.DateOnly))
	}
	return PublicKey(key), nil
}
