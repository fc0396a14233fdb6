package chat

import (
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
)

// Look is the style of the lines.
type Look struct {
	Terminal bool // short times, and a check mark for what was delivered
	Dated    bool // each line begins with the date
	Colour   bool
	Bare     bool       // answers stand alone, without a time: for the output of a command
	Width    func() int // of the terminal, 0 where there is none
}

// printer writes lines that begin with the time, and a line with the date when a new day
// has begun.
type printer struct {
	out  *lines.Output
	look Look
	now  func() time.Time

	mu  sync.Mutex // held while a line is written, so that the date comes before the first line of its day
	day string     // of the previous line
	in  certs.ID   // the block of the previous line
}

// since formats a local time, with the date if the time alone could mean another day.
func (p *printer) since(at time.Time) string {
	if p.now().Sub(at).Abs() < 24*time.Hour {
		return at.Local().Format("15:04")
	}
	return at.Local().Format("2006-01-02 15:04")
}

// say writes one line.
func (p *printer) say(mark, s string) error {
	return p.write(func(_ time.Time, clock string) string { return p.line(clock, mark, s) })
}

func (p *printer) line(clock, mark, s string) string {
	if p.look.Bare {
		return s + "\n"
	}
	return fmt.Sprintf("%s %s %s\n", p.dim(clock), mark, s)
}

// block writes a line and, indented below it, the lines that belong to it.
func (p *printer) block(title, lines string) error {
	return p.write(func(_ time.Time, clock string) string {
		if p.look.Bare {
			return lines + "\n"
		}
		return p.line(clock, "*", title) + margin + strings.ReplaceAll(lines, "\n", "\n"+margin) + "\n"
	})
}

// margin is before the lines of a block.
const margin = "    "

// write writes what the function makes of the time.
func (p *printer) write(lines func(now time.Time, clock string) string) error {
	return p.put(p.out.Write, block{}, lines)
}

// block is where a line belongs: to what was said before this peer came, in a room or to everyone,
// under a title. Zero: nowhere.
type block struct {
	about certs.ID
	title string
}

// put writes what the function makes of the time, after a line with the date if the
// day has changed since the previous line, and between lines that begin and end a block.
func (p *printer) put(write func([]byte) (int, error), in block, lines func(now time.Time, clock string) string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().Local()
	clock := now.Format(time.TimeOnly)
	if p.look.Terminal {
		clock = now.Format("15:04")
	}
	day, before := now.Format(time.DateOnly), p.day
	p.day = day
	if p.look.Dated {
		clock = day + " " + clock
	}
	s := lines(now, clock)
	if in.about != p.in {
		if in.about != "" {
			s = p.line(clock, "*", in.title) + s
		}
		if p.in != "" {
			s = p.line(clock, "*", "that was before you came") + s
		}
		p.in = in.about
	}
	if before != "" && before != day && !p.look.Dated && !p.look.Bare {
		s = p.line(clock, "*", now.Format("it is Monday, 2006-01-02")) + s
	}
	_, err := write([]byte(s))
	return err
}

func (p *printer) dim(s string) string {
	if !p.look.Colour {
		return s
	}
	return "\x1b[2m" + s + "\x1b[0m"
}

// name returns an ID in its colour, which depends on nothing but the ID.
func (p *printer) name(id certs.ID) string {
	if !p.look.Colour {
		return string(id)
	}
	colours := []int{31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96} // all but black, white and grey
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colours[h.Sum32()%uint32(len(colours))], id)
}
