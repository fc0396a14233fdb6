package main

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
)

// everyone is the receiver of a broadcast.
const everyone = "*"

// stamp is what a body says of itself.
type stamp struct {
	from, to string
	seq      int // counts the different bodies from one to the other
}

// body makes a text of about that many bytes that says what it is: from, to, the
// number, a checksum over these and the rest, and the rest, which is anything.
func (s stamp) body(size int, lot *rand.Rand) string {
	filler := filling(size-len(s.seal("", 0)), lot)
	return s.seal(filler, s.sum(filler))
}

func (s stamp) seal(filler string, sum uint32) string {
	return fmt.Sprintf("%s %s %d %08x %s", s.from, s.to, s.seq, sum, filler)
}

func (s stamp) sum(filler string) uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%s %s %d %s", s.from, s.to, s.seq, filler))
}

// parseBody reads what a body says. It is not ok when a byte is another one.
func parseBody(body string) (s stamp, ok bool) {
	head := strings.SplitN(body, " ", 5)
	if len(head) < 5 {
		return stamp{}, false
	}
	s.from, s.to = head[0], head[1]
	if _, err := fmt.Sscanf(head[2], "%d", &s.seq); err != nil {
		return stamp{}, false
	}
	return s, s.seal(head[4], s.sum(head[4])) == body
}

// filling is text that a careless program would alter.
func filling(size int, lot *rand.Rand) string {
	odd := []string{"\"", "\\", "\n", "<", "&", "é", "漢", "🙂", "\u2028", "\x00", " "}
	var b strings.Builder
	for b.Len() < size-4 {
		if lot.IntN(50) == 0 {
			b.WriteString(odd[lot.IntN(len(odd))])
		} else {
			b.WriteByte('a' + byte(lot.IntN(26)))
		}
	}
	for b.Len() < size {
		b.WriteByte('.')
	}
	return b.String()
}

// size draws how long a body is: mostly short, some of 1 to 100 KiB, rarely the
// longest that there may be. That is a guess at what people and programs send.
func size(lot *rand.Rand, longest int) int {
	switch n := lot.IntN(2000); {
	case n == 0:
		return longest
	case n < 40:
		return min(longest, int(math.Exp(math.Log(1<<10)+lot.Float64()*math.Log(100))))
	default:
		return lot.IntN(200)
	}
}
