package certs

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"quicpeer/pb"
)

// Ticket lets one peer into a private network, once: it names the network, peers to dial, and
// carries a secret that its issuer knows the public half of. To have read it is to have it, so
// nothing prints it but [Ticket.Text].
type Ticket struct {
	Network PublicKey    // the network's key
	Name    string       // the network's name, without the hash of its key
	Seed    [16]byte     // the secret
	Issuer  [8]byte      // of the admin that has made the ticket, see [KeyTag]
	ID      ID           // whom it lets in
	Doors   []TicketDoor // peers to dial, the best first
}

// TicketDoor is a member of the network that can be dialled.
type TicketDoor struct {
	Address string  // HOST:PORT
	Key     [8]byte // see [KeyTag]: nobody else may answer there
}

// KeyTag is what tickets tell keys by: the first 8 bytes of the key's SHA-256.
func KeyTag(key PublicKey) [8]byte {
	sum := sha256.Sum256(key[:])
	return [8]byte(sum[:8])
}

// Bounds of a ticket.
const (
	MaxPrivateName = 24   // of a private network's name: in records the hash of the key comes on top
	MaxTicketDoors = 4    // of the doors of a ticket
	MaxTicketText  = 4096 // of the text, blanks included, that is looked at; the longest ticket has 1941 characters
	maxDoorHost    = 253  // of a door's host name, as in the DNS
)

// The layout of a ticket, version 1: the version, the network's key, the seed, the issuer's
// tag, the ID and the name with a byte for their lengths, and the doors to the end. A door is
// its kind, its address and its key's tag.
const (
	ticketPrefix  = "qp1"
	ticketVersion = 1
	doorIPv4      = 1 // 4 bytes and the port
	doorIPv6      = 2 // 16 bytes and the port
	doorHost      = 3 // a byte for the length, a host name, and the port
)

var ticketEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var (
	errTicketTypo    = errors.New("the ticket is mistyped or cut off: its last characters don't fit")
	errTicketContent = errors.New("the ticket can't be used: it does not follow the format; ask for another")
)

// CheckPrivateName reports why name is not a valid name of a private network.
func CheckPrivateName(name string) error {
	if len(name) > MaxPrivateName {
		return fmt.Errorf("a private network's name has at most %d bytes, this one %d", MaxPrivateName, len(name))
	}
	if strings.Contains(name, "#") {
		return errors.New("a private network's name has no '#': what follows it is made of the network's key")
	}
	return pb.CheckNetwork(name)
}

// IsTicket says whether s is meant to be a ticket, and not HOST:PORT.
func IsTicket(s string) bool {
	s = ticketLetters(s[:min(len(s), MaxTicketText)])
	return strings.HasPrefix(s, ticketPrefix) && !strings.Contains(s, ":")
}

// ParseTicket reads what [Ticket.Text] has made: in any case, and with blanks and line ends
// anywhere, as pasting leaves them.
func ParseTicket(s string) (*Ticket, error) {
	if len(s) > MaxTicketText {
		return nil, errors.New("the ticket is too long: a part of it, or something else, was pasted twice")
	}
	s = ticketLetters(s)
	letters, ok := strings.CutPrefix(s, ticketPrefix)
	if !ok {
		return nil, fmt.Errorf("a ticket begins with %s", ticketPrefix)
	}
	b, err := ticketEncoding.DecodeString(letters)
	if err != nil || len(b) < 4 || ticketEncoding.EncodeToString(b) != letters { // else the last character may mean nothing
		return nil, errTicketTypo
	}
	b, sum := b[:len(b)-4], b[len(b)-4:]
	if check := sha256.Sum256(b); !bytes.Equal(check[:4], sum) {
		return nil, errTicketTypo
	}
	r := ticketReader{rest: b}
	if version := r.bytes(1); r.short || version[0] != ticketVersion {
		return nil, errors.New("the ticket is of another version of quicpeer: update this one, or ask for a ticket that it can read")
	}
	t := r.ticket()
	// A ticket has one text: no address could be written in another way.
	if r.short || t.check() != nil || t.Text() != s {
		return nil, errTicketContent
	}
	return t, nil
}

// HideTickets replaces the tickets in a text that is to be shown or logged by "qp1…".
func HideTickets(s string) string { return ticketInText().ReplaceAllString(s, ticketPrefix+"…") }

// ticketInText finds tickets, also those cut off or mistyped. Most runs of the program never need it.
var ticketInText = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\bqp1[a-z2-7]{16,}`) })

// ticketLetters drops what does not matter in a ticket's text.
func ticketLetters(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return -1
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// check reports a part of the ticket that can't be.
func (t *Ticket) check() error {
	if _, err := ParseID(string(t.ID)); err != nil {
		return err
	}
	if t.Network == (PublicKey{}) {
		return errors.New("the network has no key")
	}
	if len(t.Doors) > MaxTicketDoors {
		return fmt.Errorf("%d doors", len(t.Doors))
	}
	return CheckPrivateName(t.Name)
}

// Text is the ticket as people pass it on, a secret: [ParseTicket] reads it. Doors whose
// addresses are not HOST:PORT, or have a zone, are left out. It panics if the rest can't be: an
// invalid ID or name, or too many doors.
func (t *Ticket) Text() string {
	if err := t.check(); err != nil {
		panic("certs: a ticket that can't be: " + err.Error())
	}
	b := append([]byte{ticketVersion}, t.Network[:]...)
	b = append(b, t.Seed[:]...)
	b = append(b, t.Issuer[:]...)
	b = append(append(b, byte(len(t.ID))), t.ID...)
	b = append(append(b, byte(len(t.Name))), t.Name...)
	for _, d := range t.Doors {
		if address := d.encodeAddress(); address != nil {
			b = append(append(b, address...), d.Key[:]...)
		}
	}
	sum := sha256.Sum256(b)
	return ticketPrefix + ticketEncoding.EncodeToString(append(b, sum[:4]...))
}

// encodeAddress is the door's kind and address; nil if nobody could dial it.
func (d TicketDoor) encodeAddress() []byte {
	host, text, err := net.SplitHostPort(d.Address)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || port == 0 {
		return nil
	}
	var b []byte
	switch ip, err := netip.ParseAddr(host); {
	case err == nil && (ip.Zone() != "" || ip.IsUnspecified()):
		return nil
	case err == nil && ip.Unmap().Is4():
		b = append([]byte{doorIPv4}, ip.Unmap().AsSlice()...)
	case err == nil:
		b = append([]byte{doorIPv6}, ip.AsSlice()...)
	case !isHostName(host):
		return nil
	default:
		b = append([]byte{doorHost, byte(len(host))}, host...)
	}
	return binary.BigEndian.AppendUint16(b, uint16(port))
}

func isHostName(s string) bool {
	return s != "" && len(s) <= maxDoorHost && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// Identity is the key that redeems the ticket: its signatures show that their author has read
// the ticket.
func (t *Ticket) Identity() *Identity {
	seed, err := hkdf.Key(sha256.New, t.Seed[:], nil, "quicpeer ticket", 32)
	if err != nil {
		panic("certs: " + err.Error()) // only for lengths that SHA-256 can't give
	}
	return NewIdentity(seed)
}

// Public is the half of the key that the issuer knows the ticket by.
func (t *Ticket) Public() PublicKey { return t.Identity().Key() }

// String does not tell the secret.
func (t Ticket) String() string { return "a ticket for " + string(t.ID) }

// Format prints the same for every verb: a ticket shows nothing of itself by mistake.
func (t Ticket) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue is for logs in JSON.
func (t Ticket) LogValue() slog.Value { return slog.StringValue(t.String()) }

// ticketReader takes a ticket's bytes apart.
type ticketReader struct {
	rest  []byte
	short bool // more was asked for than there is
}

// bytes returns the next n bytes, or n zeros if there are fewer.
func (r *ticketReader) bytes(n int) []byte {
	if r.short = r.short || len(r.rest) < n; r.short {
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// text returns a string after the byte of its length.
func (r *ticketReader) text() string { return string(r.bytes(int(r.bytes(1)[0]))) }

func (r *ticketReader) ticket() *Ticket {
	t := &Ticket{
		Network: PublicKey(r.bytes(32)),
		Seed:    [16]byte(r.bytes(16)),
		Issuer:  [8]byte(r.bytes(8)),
		ID:      ID(r.text()),
		Name:    r.text(),
	}
	for len(r.rest) > 0 && !r.short && len(t.Doors) <= MaxTicketDoors {
		t.Doors = append(t.Doors, r.door())
	}
	return t
}

func (r *ticketReader) door() (d TicketDoor) {
	var host string
	switch r.bytes(1)[0] {
	case doorIPv4:
		host = netip.AddrFrom4([4]byte(r.bytes(4))).String()
	case doorIPv6:
		host = netip.AddrFrom16([16]byte(r.bytes(16))).String()
	case doorHost:
		host = r.text()
	default:
		r.short = true
	}
	port := binary.BigEndian.Uint16(r.bytes(2))
	d.Address = net.JoinHostPort(host, strconv.Itoa(int(port)))
	d.Key = [8]byte(r.bytes(8))
	return d
}
