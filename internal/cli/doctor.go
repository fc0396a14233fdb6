package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/control"
	"quicpeer/internal/doctor"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// doctorTime is how long doctor looks at the machine at most: the router has two seconds to answer.
const doctorTime = 3 * time.Second

const doctorHelp = `Say what stands in the way of a peer with these flags, running or not: socket,
firewall, multicast, NAT, router, clock, disk, peers that are not direct, each
with the next step to take.

Usage:
  quicpeer doctor [flags of a peer]

Flags:
      --json               print JSON lines
quicpeer --help lists the other flags of a peer.

Exit status: 0 all well, 1 something was found.
`

// inTheWayError says that doctor has found something.
type inTheWayError struct{ count int }

func (e *inTheWayError) Error() string {
	if e.count == 1 {
		return "1 thing stands in the way"
	}
	return fmt.Sprintf("%d things stand in the way", e.count)
}

// doctorCommand looks at a peer that runs, or at what one would find: so it has all flags of one.
func (a *asking) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor [flags of a peer]", Short: "Say what stands in the way of a peer with these flags, running or not",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range commonFlags {
				if f := cmd.Root().PersistentFlags().Lookup(name); f.Changed { // before the name of the command
					args = append([]string{"--" + name + "=" + f.Value.String()}, args...)
				}
			}
			return a.doctor(cmd.Context(), args)
		},
	}
}

// doctor prints what stands in the way of a peer with these flags, running or not.
func (c *command) doctor(ctx context.Context, args []string) error {
	o, err := parseOptions(args, c.getenv)
	if err != nil {
		return err
	}
	out := lines.NewOutput(c.stdout)
	if o.help {
		_, err := out.Write([]byte(doctorHelp))
		return err
	}
	dir, err := stateDirectory(o, c.getenv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	findings := doctor.Judge(doctor.Gather(ctx, doctor.Request{
		Listen: o.listen, StateDir: dir, Peer: c.runningPeer(ctx, dir), Root: "/", Run: doctor.RunCommand,
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

// runningPeer asks the peer of a state directory, or the only one that runs; nil: none answers.
func (c *command) runningPeer(ctx context.Context, dir string) *doctor.Peer {
	client, err := control.Find(ctx, dir, c.getenv)
	if err != nil {
		return nil
	}
	defer client.Close()
	var status struct {
		ID     certs.ID
		Listen []string
	}
	var net overlay.Net
	var past struct {
		Messages []struct {
			Pos       uint64
			From, To  certs.ID
			SentAt    time.Time `json:"sent_at"`
			WrittenAt time.Time `json:"at"`
			Before    bool
		}
	}
	for path, into := range map[string]any{"/v1/status": &status, "/v1/net": &net, "/v1/history?last=200": &past} {
		path, query, _ := strings.Cut(path, "?")
		values, _ := url.ParseQuery(query)
		b, err := client.Ask(ctx, path, values, false)
		if err != nil || json.Unmarshal(b, into, json.MatchCaseInsensitiveNames(true), json.WithUnmarshalers(json.UnmarshalFromFunc(readDuration))) != nil {
			return nil
		}
	}
	var heard []doctor.Heard
	for _, m := range past.Messages {
		if m.To == status.ID && !m.Before {
			heard = append(heard, doctor.Heard{From: m.From, SentAt: m.SentAt, At: m.WrittenAt})
		}
	}
	return &doctor.Peer{ID: status.ID, Listen: status.Listen, Net: net, Clocks: doctor.Clocks(heard)}
}

// readDuration reads milliseconds, or null.
func readDuration(d *jsontext.Decoder, into *time.Duration) error {
	var ms *float64
	if err := json.UnmarshalDecode(d, &ms); err != nil || ms == nil {
		return err
	}
	*into = time.Duration(*ms * float64(time.Millisecond))
	return nil
}

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
