package transport

import (
	"encoding/binary"
	"sync"
	"time"
)

// packet is one packet of a carried link, with its header.
type packet struct {
	size int
	at   time.Time // when it began to wait
	over *Link     // one for us has come over it; nil: by a search
	b    [maxPacket]byte
}

func (p *packet) to() Tag   { return Tag(binary.BigEndian.Uint64(p.b[1:])) }
func (p *packet) from() Tag { return Tag(binary.BigEndian.Uint64(p.b[9:])) }

// bulky is a bit beside the hops left: the packet is of a bulk connection. Older peers take it for
// too many hops, and pass the packet on without it.
const bulky = 0x80

func (p *packet) isBulky() bool { return p.b[0]&bulky != 0 }

// hops is how many links the packet may still cross; a peer may claim more.
func (p *packet) hops() byte { return min(p.b[0]&^bulky, maxHops) }

// address sets the header.
func (p *packet) address(to, from Tag) {
	p.b[0] = maxHops
	binary.BigEndian.PutUint64(p.b[1:], uint64(to))
	binary.BigEndian.PutUint64(p.b[9:], uint64(from))
}

var packets = sync.Pool{New: func() any { return new(packet) }}

func newPacket() *packet { return packets.Get().(*packet) }

func (p *packet) free() { packets.Put(p) }
