package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"quicpeer/internal/chat"
	"quicpeer/internal/doctor"
	"quicpeer/internal/lines"
)

// doctorTime is how long doctor looks at the machine at most: the router has two seconds to answer.
const doctorTime = 3 * time.Second

// inTheWayError says that doctor has found something.
type inTheWayError struct{ count int }

func (e *inTheWayError) Error() string {
	if e.count == 1 {
		return "1 thing stands in the way"
	}
	return fmt.Sprintf("%d things stand in the way", e.count)
}

// doctor prints what stands in the way of a peer with these flags, running or not.
func (c *command) doctor(ctx context.Context, args []string) error {
	o, err := parseOptions(args, c.getenv)
	if err != nil {
		return err
	}
	out := lines.NewOutput(c.stdout)
	if o.help {
		_, err := out.Write([]byte(helpText))
		return err
	}
	dir, err := stateDirectory(o, c.getenv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	findings := doctor.Judge(doctor.Gather(ctx, doctor.Request{
		Listen: o.listen, StateDir: dir, Peer: runningPeer(ctx, dir), Root: "/", Run: doctor.RunCommand,
	}))
	show := findingText
	if o.json {
		show = findingJSON
	}
	for _, f := range findings {
		if _, err := out.Write(show(f)); err != nil {
			return err
		}
	}
	if n := doctor.Problems(findings); n > 0 {
		return &inTheWayError{n}
	}
	return nil
}

// runningPeer asks the peer that has a state directory; nil: none answers.
func runningPeer(context.Context, string) *doctor.Peer { return nil }

// findingText is a finding for people.
func findingText(f doctor.Finding) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s\n", f.Level, f.Check, chat.OneLine(f.What))
	if f.Why != "" {
		fmt.Fprintf(&b, "    why:  %s\n", chat.OneLine(f.Why))
	}
	if f.Next != "" {
		fmt.Fprintf(&b, "    next: %s\n", chat.OneLine(f.Next))
	}
	return []byte(b.String())
}

// findingJSON is a finding for programs.
func findingJSON(f doctor.Finding) []byte {
	b, err := json.Marshal(struct {
		Event string    `json:"event"`
		Time  time.Time `json:"time"`
		doctor.Finding
	}{"finding", time.Now().UTC(), f})
	if err != nil { // a text of the system that is not UTF-8
		b = []byte(`{"event":"finding","check":"` + f.Check + `","level":"` + string(f.Level) + `"}`)
	}
	return append(b, '\n')
}
