package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commands answers commands by their line; others are not there.
type commands map[string]string

func (c commands) run(_ context.Context, name string, args ...string) (string, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	out, ok := c[line]
	if !ok {
		return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
	}
	if problem, is := strings.CutPrefix(out, "error: "); is {
		return "", errors.Join(errors.New("exit status 1"), errors.New(problem))
	}
	return out, nil
}

const ufwRules = `Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
5000:5010/udp              ALLOW IN    Anywhere
6000                       ALLOW IN    Anywhere
7000/udp                   DENY IN     Anywhere
`

const firewalldZone = `public (active)
  target: default
  services: ssh mdns
  ports: 5000/udp 6000-6010/udp 7000/tcp
  protocols:
`

func TestFirewalls(t *testing.T) {
	nftRules := func(policy string, rules ...string) string {
		list := []string{`{"metainfo":{"version":"1.0.6"}}`,
			`{"chain":{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"` + policy + `"}}`,
			`{"chain":{"family":"inet","table":"filter","name":"more","handle":2}}`}
		for _, r := range rules {
			chain, expr, _ := strings.Cut(r, " ")
			list = append(list, fmt.Sprintf(`{"rule":{"family":"inet","table":"filter","chain":%q,"expr":[%s]}}`, chain, expr))
		}
		return `{"nftables":[` + strings.Join(list, ",") + `]}`
	}
	port := func(right string) string {
		return `{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":` + right + `}}`
	}
	udp := `{"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":"udp"}}`
	established := `{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}}`
	accept, drop := `,{"accept":null}`, `{"counter":{"packets":1,"bytes":1}},{"drop":null}`
	const nft = "nft --json list ruleset"
	for name, test := range map[string]struct {
		conf string // of ufw
		run  commands
		port uint16
		want string
	}{
		"nothing":                   {want: "[]"},
		"ufw off":                   {conf: "ENABLED=no", want: "[{ufw false  false false}]"},
		"ufw, closed":               {conf: "# x\nENABLED=yes\n", run: commands{"ufw status verbose": ufwRules}, port: 4000, want: "[{ufw true  true false}]"},
		"ufw, range":                {conf: "ENABLED=yes", run: commands{"ufw status verbose": ufwRules}, port: 5003, want: "[{ufw true  true true}]"},
		"ufw, any protocol":         {conf: "ENABLED=yes", run: commands{"ufw status verbose": ufwRules}, port: 6000, want: "[{ufw true  true true}]"},
		"ufw, TCP":                  {conf: "ENABLED=yes", run: commands{"ufw status verbose": ufwRules}, port: 22, want: "[{ufw true  true false}]"},
		"ufw, denied":               {conf: "ENABLED=yes", run: commands{"ufw status verbose": ufwRules}, port: 7000, want: "[{ufw true  true false}]"},
		"ufw, not root":             {conf: "ENABLED=yes", run: commands{"ufw status verbose": "error: ERROR: You need to be root"}, port: 1, want: "[{ufw true exit status 1 ERROR: You need to be root false false}]"},
		"ufw is gone":               {conf: "ENABLED=yes", want: "[]"},
		"firewalld, open":           {run: commands{"firewall-cmd --state": "running\n", "firewall-cmd --list-all": firewalldZone}, port: 6005, want: "[{firewalld true  true true}]"},
		"firewalld, TCP":            {run: commands{"firewall-cmd --state": "running\n", "firewall-cmd --list-all": firewalldZone}, port: 7000, want: "[{firewalld true  true false}]"},
		"firewalld, off":            {run: commands{"firewall-cmd --state": "error: not running"}, want: "[{firewalld false  false false}]"},
		"firewalld, refused":        {run: commands{"firewall-cmd --state": "error: Authorization failed"}, want: "[{firewalld false exit status 1 Authorization failed false false}]"},
		"nft, not root":             {run: commands{nft: "error: Operation not permitted (you must be root)"}, want: "[{nft false exit status 1 Operation not permitted (you must be root) false false}]"},
		"nft, empty":                {run: commands{nft: `{"nftables":[{"metainfo":{}}]}`}, want: "[{nft false  false false}]"},
		"nft, garbage":              {run: commands{nft: `what`}, want: "can't be read"},
		"nft, policy drop":          {run: commands{nft: nftRules("drop", "input "+established+accept)}, port: 5000, want: "[{nft true  true false}]"},
		"nft, last rule":            {run: commands{nft: nftRules("accept", "input "+drop)}, port: 5000, want: "[{nft true  true false}]"},
		"nft, the port":             {run: commands{nft: nftRules("drop", "input "+port("5000")+accept)}, port: 5000, want: "[{nft true  true true}]"},
		"nft, another port":         {run: commands{nft: nftRules("drop", "input "+port("5001")+accept)}, port: 5000, want: "[{nft true  true false}]"},
		"nft, a range":              {run: commands{nft: nftRules("drop", "more "+port(`{"range":[4000,6000]}`)+accept)}, port: 5000, want: "[{nft true  true true}]"},
		"nft, a set":                {run: commands{nft: nftRules("drop", "more "+port(`{"set":[22,{"range":[4999,5001]}]}`)+accept)}, port: 5000, want: "[{nft true  true true}]"},
		"nft, any port":             {run: commands{nft: nftRules("drop", "input "+port("5000")+accept)}, port: 0, want: "[{nft true  true false}]"},
		"nft, UDP":                  {run: commands{nft: nftRules("drop", "input "+udp+accept)}, port: 5000, want: "[{nft true  true true}]"},
		"nft, UDP that is answered": {run: commands{nft: nftRules("drop", "input "+udp+","+established+accept)}, port: 5000, want: "[{nft true  true false}]"},
		"nft, something else":       {run: commands{nft: nftRules("drop", `input {"xt":{"type":"match","name":"conntrack"}}`+accept)}, port: 5000, want: "[{nft true  true false}]"},
		"nft, the port dropped":     {run: commands{nft: nftRules("accept", "input "+port("5000")+`,{"drop":null}`)}, port: 5000, want: "[{nft true  false false}]"},
		"macOS":                     {run: commands{"socketfilterfw --getglobalstate": "Firewall is enabled. (State = 1)"}, want: "[{the macOS firewall true it asks for each program whether it may be reached false false}]"},
		"Windows, off":              {run: commands{"netsh advfirewall show currentprofile state": "State   OFF"}, want: "[{the Windows firewall false  false false}]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{Root: t.TempDir(), Run: test.run.run}
			if test.conf != "" {
				if err := os.MkdirAll(filepath.Join(r.Root, "etc/ufw"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(r.Root, "etc/ufw/ufw.conf"), []byte(test.conf), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := fmt.Sprint(r.firewalls(t.Context(), test.port)); got != test.want && !(test.want == "can't be read" && strings.Contains(got, test.want)) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func FuzzNft(f *testing.F) {
	f.Add([]byte(`{"nftables":[{"rule":{"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":{"set":[1,{"range":[2,3]}]}}},{"accept":null}]}}]}`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _, _, _ = nftRules(text, 5000) })
}
