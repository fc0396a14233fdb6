package cli

// helpText is what --help prints. A test checks it against the flags.
const helpText = `quicpeer is a peer of a chat network without servers. Start one and you have a
network; start another with --join and the two form one. Everyone in it sees who
else is there and can write to anyone.

Usage:
  quicpeer [flags]                 run a peer
  quicpeer COMMAND [flags] ...     ask one that runs (COMMAND --help says more)

Commands, for the peer of --id or --state-dir, or the only one that runs:
  send TO [TEXT...]        send a message, and wait for its receipt
  attach                   chat with it in this terminal; Ctrl-D leaves it running
  events, history          what happens, as JSON lines; what was said
  peers, status, net, buffer, ping ID
                           how things stand
  join HOST:PORT, cancel MESSAGE, invite ID, uninvite ID, remove ID, leave
                           as the typed lines
  file send TO PATH..., file list [N], file accept N, file cancel N
                           send files and directories; take what others offer
  file receive, and file send with flags of a peer such as --join
                           the same by a peer that is started for that alone
  doctor [flags of a peer] say what stands in the way of a peer with these flags,
                           running or not, each with the next step
  completion SHELL         completion for bash, zsh, fish or powershell

The network:
  -l, --listen HOST:PORT   UDP address to listen on and to dial from; port 0 picks
                           a free one (default :0)
  -j, --join HOST:PORT | TICKET | -
                           a peer of the network to join; may be repeated, or be a
                           comma-separated list. Without it, look for the peers
                           that the state directory remembers; if it remembers
                           none, start a new network. A TICKET (qp1...) lets this
                           peer into a private network, under the ID that it
                           names; - asks for it without showing it, or reads it
                           from the first line of standard input
      --private            make a private network, whose members are invited (with
                           --id; once)
      --no-rejoin          don't look for the peers that the state directory
                           remembers
      --discover           find peers on the LAN by multicast DNS. Without --join:
                           join them, or start a network after 2 s
      --map-port           ask the router to forward a port, by PCP, NAT-PMP or
                           UPnP; it is released on leaving
      --network NAME       refuse peers with another network name, and the state
                           directory of another network. Not a secret
      --join-timeout D     how long to try the --join peers, extended while the
                           network's table is arriving; 0 tries forever
                           (default 10s)
      --drain D            on leaving, how long to wait for receipts of messages in
                           flight (default 5s)
      --no-custody         don't leave messages for absent peers with others, and
                           don't keep any for others

Who you are:
  -i, --id ID              this peer's ID: 1 to 64 letters, digits, '.', '_' and
                           '-' (also --desired-id; default: a random one). With an
                           ID the peer keeps its key, by which others recognize it,
                           and its undelivered messages
      --state-dir DIR      the state directory, where it keeps them (default:
                           quicpeer/ID in the user's state directory). With neither
                           --id nor --state-dir nothing is kept; without --listen
                           as well the peer is a visitor, announced to everyone
                           only if it stays
      --tag KEY=VALUE      what this peer is, such as role=db; all others know it;
                           may be repeated, or be a comma-separated list; at most
                           1 KiB in all
      --no-history         keep no history of what was said
      --history-size SIZE  the history has at most this size, and drops its oldest
                           part; at least 16M (default 256M)
      --history-messages N
                           and at most so many messages (default 1000000)

Files:
      --accept-files RULE  take files without asking: ask, never, all, or
                           from=ID,...;max=SIZE;dir=DIR, each part of which may be
                           missing; all may stand in the place of from (default
                           ask). Without dir they come into the directory in which
                           this peer was started
      --upload-limit SIZE, --download-limit SIZE
                           at most so many bytes a second of all files together:
                           500K, 2M; at least 16K

Input and output:
      --full               begin in full screen; F2 or /full changes to it and back
      --plain              plain lines: no line editing, no colours, no cursor
                           movement. So it is where input or output is no terminal,
                           with TERM=dumb, and with ACCESSIBLE set
      --json               one JSON object per line, in and out
      --no-input           don't read standard input: for a service
      --on-message CMD     run CMD for each message, with a state directory at
                           least once: the body is on standard input, sender,
                           receiver, ID, time, key and path in variables
                           (QUICPEER_...). No shell is run, unless CMD is one:
                           sh -c '...'
      --on-message-reply   send what CMD prints back to the sender
      --log-level L        debug, info, warn, error or critical (default info; where
                           standard error is a terminal, warn)
      --log-format F       text or json; logs go to standard error (default text)
      --metrics HOST:PORT  serve Prometheus metrics there, at /metrics; they name no
                           peer and no message (9464 is a usual port)
      --qlog DIR           write qlog files of connections there, at most 64 and
                           256 MiB; they hold addresses
      --version            print the version
  -h, --help               print this text

Long flags also work with one dash: -listen :5000. Every flag except --version
and --help can be set by an environment variable, such as QUICPEER_LISTEN for
--listen or QUICPEER_JOIN_TIMEOUT for --join-timeout. A flag overrides its
variable; an empty variable counts as unset.

Typed lines:
  text                     a message to everyone, or to the room in front
  @ID text, /msg ID text   a message to one peer (also @ID: text and @ID, text)
  /join #name, /part       enter a room, where text then goes; leave it
  /room #name, /rooms      put a room in front (alone: everyone); list them
  /peers, /table, /buffer  who is here; the routing table; waiting messages
  /status                  this peer: identity, network, uptime, what waits
  /history, /history N, /search TEXT
                           what was said; messages with a text
  /net                     how peers are reached, and why not more directly
  /join HOST:PORT          dial another peer, and so join its network to this one
  /ping ID                 measure a round trip by the way that messages take
  /invite ID, /qr          in a private network: make a ticket for ID; as a QR code
  /uninvite ID, /remove ID make it void; take a member out for good
  /send ID FILE..., /get N offer files to a peer (also #room, *); take what
                           another offers (/get N DIR: there)
  /files, /drop N          list files; withdraw, decline or stop one
  /cancel, /cancel N       list waiting messages with numbers; withdraw one
  /cancel @ID              withdraw everything that waits for one peer
  /help, /quit
To send a text that begins with / or @, double that character. Blanks before it
make no difference.

Exit status:
  0  left in good order      1  a failure at run time     2  a wrong command line
  1  also if a line of input that nobody typed was refused; the rest was done
  3  the ID, the identity or the state directory is in use elsewhere
  4  no peer to join could be reached, or all were full
  5  left in good order, but messages of this run have not reached their
     receivers: they are kept in the state directory; without one, each has failed
     and is gone
  6  the private network doesn't let this peer in: a ticket used, ended or
     foreign, a member removed
  7  a command has found no running peer

Examples:
  quicpeer --id alice --listen :5000                start a network
  quicpeer --id bob --join 192.168.1.5:5000         join it
  quicpeer --id carol --private                     start a private network
  quicpeer --join -                                 join one, by a ticket
  quicpeer --id bob --discover                      join whatever is on this LAN
  echo '@alice hello' | quicpeer -j 192.168.1.5:5000   send one message and leave
  quicpeer send bob 'the backup is done'            by a peer that runs
  quicpeer file send bob report.pdf photos/         the same for files
  quicpeer file send -j host:5000 bob report.pdf    by a peer for that alone
  quicpeer --json --no-input --id log -j host:5000  record everything that is said
`
