// Command scenario plays scenarios: files that start real quicpeer processes, type into them, cut
// them off from each other, freeze and kill them, and say what each must see. Run one by
//
//	make scenario FILE=scripts/scenarios/seed.txtar
//
// and write your own as a text file of one verb a line:
//
//	# alice is a network of one
//	start alice
//	expect alice ready id=alice
//
//	# bob joins her and says hello
//	start bob -join alice
//	expect alice peer_joined id=bob
//	send bob alice 'hello, alice'
//	expect alice message from=bob body='hello, alice'
//	expect bob delivered to=alice path=direct
//
//	# bob crashes, and alice learns it
//	kill bob
//	expect alice peer_left id=bob reason=lost within 10s
//
// The files are those of [testscript]: '#' begins a comment that is a heading in the report, words
// are split at spaces, 'single quotes' keep a word together and $NAME is replaced outside of them.
// Its own commands (exec, cmp, grep, env, skip, and conditions such as [linux] or [!windows]) work
// too; [ipv6] holds where the machine has ::1.
//
// # Peers
//
//	start [-text] NAME [QUICPEER_X=VALUE...] [FLAG...]
//
// starts a process with the flags of the command line, without waiting for it. Unless the flags say
// otherwise these are added: --json (typed lines with -text), --id NAME, --listen 127.0.0.1:0 and
// --state-dir $WORK/NAME. The words -no-id, -no-state and -no-listen leave these out. "-join NAME"
// stands for the address of that peer, running or gone, and waits until it is known; "-join
// NAME,NAME" for several, and "-join @ID" for the ticket that was last issued for ID (see invite).
// A peer that has ended can be started again: it finds its state directory, and begins with no
// events. It tries to join for as long as the scenario waits, since only the scenario knows how
// slow the machine is; --join-timeout says otherwise.
//
//	type NAME LINE             write a line to the peer's standard input
//	send NAME TO BODY [REF]    the JSON line of a direct message
//	broadcast NAME BODY [REF]  the JSON line of a message to everyone
//	invite NAME ID [admin]     it makes a ticket, which is waited for (within D)
//	remove NAME ID [all]       it takes a member out for good
//	close NAME                 end its input
//	stop NAME                  SIGTERM
//	interrupt NAME             SIGINT
//	kill NAME                  SIGKILL
//	freeze NAME, thaw NAME     SIGSTOP, SIGCONT
//	mute NAME, unmute NAME     stop reading its standard output, go on reading
//
// testscript's own kill and stop can't be used: these are the peers'.
//
//	cut A B [C...]             no packet passes between A and any of the others
//	heal [A B]                 undo that; without names all cuts
//
// A cut is made by the processes themselves, which drop the packets of the
// addresses in the file named by the hidden flag --cut-file, so it needs no
// rights. It also holds for a peer that is started later or again. Only scenarios
// with a cut have that flag: it replaces the socket that users have.
//
//	netns NAME...              these peers live on hosts of a network of their own
//	link NAME down|up          the network interface of that host
//	narrow NAME BYTES          the way to it drops larger packets without a word
//	refuse A B                 the two answer each other's packets by ICMP: prohibited
//
// netns comes first, and names all who will be started. The first of them is at 10.0.0.1:5000, the
// next at 10.0.0.2:5000 (or where its --listen says), each in a network namespace of its own behind
// one switch. There cut is what the switch does, by a filter in the kernel, and the peers know
// nothing of it. This takes Linux with util-linux and iproute2, and root or the right to make user
// namespaces; elsewhere the scenario is skipped, and says what is missing. Nothing has to be
// cleaned up, however it ends.
//
//	run NAME STATUS COMMAND [ARG...] [: REGEXP]
//
// runs quicpeer COMMAND --state-dir $WORK/NAME ARG..., which asks the running peer NAME, to its end. It
// must end with that status, and print what matches, to whichever stream; groups become ${NAME.1} and so
// on. A NAME that no line has started stands for no peer: then --state-dir is left out. The
// sockets of a scenario's peers lie in a directory of their own.
//
//	port VAR                   $VAR becomes 127.0.0.1:PORT with a port that is free
//	fill VAR BYTES             $VAR becomes a text of so many bytes
//	say TEXT                   a heading that -show prints
//
// # Expectations
//
// Each waits, for D at most where it takes "within D" (1m without), and fails with
// what the peer printed instead. The deadline is a bound, not a pause. D counts from
// the last line that did something: after a kill, "within 4s" is the same moment for
// all peers that must learn of it, whichever is asked first. FIELD is name=value
// (exact; an absent field is empty, a list is compact JSON) or name~regexp.
//
// D is time on an idle machine. A small piece of work measures continuously how slow this one is,
// and every deadline is stretched accordingly: if the work takes three times as long as it should,
// "within 4s" ends after 12 s. So bars can be as tight as users need them, and a busy machine fails
// no scenario. Events that must not come "for D" are watched for exactly D of wall time.
//
//	expect NAME EVENT [FIELD...] [within D]
//
// takes the first event that matches among those not yet taken: the order between events of
// different lines of the scenario is not checked, and one event can't satisfy two expectations.
// Each short field of it becomes a variable, as ${bob.sent.message}, or ${bob.ready.key@R} quoted
// for a regexp. For a peer of typed lines: expect NAME REGEXP, on lines of its standard output.
//
//	next NAME EVENT [FIELD...] [within D]
//
// takes the first event of that name not yet taken, which must match: for order.
//
//	never NAME EVENT [FIELD...] for D    no such event that isn't taken is there or comes in D
//	count NAME EVENT [FIELD...] N        N such events have come, taken or not
//	table NAME [ID...] [within D]        the routing table gets to hold exactly these
//	direct NAME N [within D]             it gets to have links to N others or more
//	exit NAME STATUS [within D]          the process ends with it, or by a signal: killed
//	[!] log NAME REGEXP [within D]       its standard error gets to match; with ! it doesn't now
//
// # What is checked without being asked
//
// Before anything is played, misspelt words are reported with the line of the file: verbs,
// events, fields, and peers that no line starts.
//
// Every line of a --json peer is held against the contract: a JSON object with event and time,
// ready first, left last, joins and leaves of an ID in turn, no message twice, none from a
// stranger. At the end of the scenario every peer must be free of data races and panics, and one
// that ended with another status than 0 must have had its exit or kill. Then all are killed.
//
// [testscript]: https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript
package main
