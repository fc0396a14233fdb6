package certs

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// Door hides the peers of a private network from all that do not know its public key: these see
// neither a certificate nor an announcement that they could read. It decides nothing more: a peer
// that has the key need not be a member.
//
// TLS's encrypted client hello (RFC 9849) does that with a key that follows from the network's. A
// member seals its hello to it, so the side that answers knows before it shows anything whether
// the dialer knows the network; and the proof that it could open the hello comes back with its
// first bytes, before the dialer shows anything.
type Door struct {
	network PublicKey
	config  []byte // an ECHConfig
	private []byte // its X25519 key
	name    string // of the server, in the sealed hello; only those that know the network know it
}

// outsideName is the server's name that everybody can read in the hello.
const outsideName = "quicpeer.invalid"

// ErrOutside ends a handshake with a side that does not know the key of our private network.
var ErrOutside = errors.New("the other side does not know this peer's private network")

// NewDoor makes the door of the network with that public key.
func NewDoor(network PublicKey) *Door {
	d := &Door{network: network}
	key, err := hpke.DHKEM(ecdh.X25519()).DeriveKeyPair(d.derive("quicpeer door"))
	if err == nil {
		d.private, err = key.Bytes()
	}
	if err != nil {
		panic("certs: " + err.Error()) // only for too short a secret
	}
	d.name = hex.EncodeToString(d.derive("quicpeer door name")[:16]) + ".invalid"
	d.config = echConfig(key.PublicKey().Bytes(), uint8(len(d.name)))
	return d
}

// echConfig encodes an ECHConfig (RFC 9849, 4) of an X25519 key. The identifier is 0: one that
// follows from the network would tell networks apart.
func echConfig(public []byte, longestName uint8) []byte {
	const version, kemX25519, hkdfSHA256, chaCha20Poly1305 = 0xfe0d, 0x20, 1, 3
	b := []byte{0} // config_id
	b = binary.BigEndian.AppendUint16(b, kemX25519)
	b = binary.BigEndian.AppendUint16(b, uint16(len(public)))
	b = append(b, public...)
	b = binary.BigEndian.AppendUint16(b, 4) // bytes of cipher suites
	b = binary.BigEndian.AppendUint16(b, hkdfSHA256)
	b = binary.BigEndian.AppendUint16(b, chaCha20Poly1305)
	b = append(b, longestName, uint8(len(outsideName)))
	b = append(b, outsideName...)
	b = binary.BigEndian.AppendUint16(b, 0) // bytes of extensions
	head := binary.BigEndian.AppendUint16(nil, version)
	head = binary.BigEndian.AppendUint16(head, uint16(len(b)))
	return append(head, b...)
}

func (d *Door) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, d.network[:], nil, purpose, 32)
	if err != nil {
		panic("certs: " + err.Error()) // only for lengths that SHA-256 can't give
	}
	return key
}

// Mark is what an announcement of a member has beside its random salt. Others can neither make
// nor recognise it.
func (d *Door) Mark(salt [8]byte) [8]byte {
	mac := hmac.New(sha256.New, d.network[:])
	mac.Write(salt[:])
	return [8]byte(mac.Sum(nil))
}

// guard makes c, a configuration of both sides, one of connections through the door.
func (d *Door) guard(c *tls.Config) {
	// The side that answers. A hello that is not sealed to the network's key does not have the
	// name, and is answered as if another protocol had been asked for: TLS chooses that before it
	// chooses a certificate. The name of that protocol must be one that nobody can ask for.
	c.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{{Config: d.config, PrivateKey: d.private}}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if subtle.ConstantTimeCompare([]byte(hello.ServerName), []byte(d.name)) == 1 {
			return nil, nil
		}
		return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{d.name}}, nil
	}
	// The dialling side. If the other one could not open the hello, only the last function is asked.
	c.EncryptedClientHelloConfigList = append(binary.BigEndian.AppendUint16(nil, uint16(len(d.config))), d.config...)
	c.ServerName = d.name
	c.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error { return ErrOutside }
	// Both. That a hello has the name does not say that it was sealed.
	judge := c.VerifyConnection
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if !state.ECHAccepted {
			return ErrOutside
		}
		return judge(state)
	}
}
