package transport

import (
	"crypto/tls"

	"quicpeer/certs"
)

// NewChangedEndpoint is NewEndpoint with another TLS configuration.
func NewChangedEndpoint(cfg Config, change func(*tls.Config)) (*Endpoint, error) {
	return newEndpoint(cfg, func(want certs.PublicKey, protocols ...string) (*tls.Config, error) {
		c, err := cfg.Identity.TLS(want, cfg.Door, protocols...)
		if err == nil {
			change(c)
		}
		return c, err
	})
}

// Strangers are those on their way in, directly or over others.
func (e *Endpoint) Strangers() int { return e.gate.inside() + e.inside.gate.inside() }

// Sealed says that the dialler's hello was sealed to the key of a network.
func (l *Link) Sealed() bool { return l.conn.ConnectionState().TLS.ECHAccepted }
