package overlay

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/store"
	"quicpeer/overlay/replay"
	"quicpeer/transport"
)

// hearEvery is how old the core's knowledge of what links have heard may be when it handles an
// input; sleptAbove is a jump of the wall clock too large for an adjustment (guesses).
const (
	hearEvery  = 100 * time.Millisecond
	sleptAbove = 2 * time.Second
)

// maxWithheld is how many effects may wait for the disk before the loop takes no more inputs
// (a guess: some seconds of heavy traffic).
const maxWithheld = 4096

// loop gives the core one input after the other and carries out its effects. All of it belongs
// to one goroutine, which never waits: anything that may take time is done elsewhere, and its
// result comes back as an input.
type loop struct {
	driver
	node      *Node
	links     links
	dials     dials
	addresses addresses
	joins     joins
	pings     pings
	verifier  verifier
	awaken    *time.Timer
	heardAt   time.Duration // when the links were last looked at
	ahead     time.Duration // of the wall clock, since the start
	dropped   drops
	recalls   chan recalling

	epoch    uint64         // the last one on disk
	withheld []base.Effects // effects of which something must be on disk first, and those that followed
	saved    chan error     // the result of save

	undecided []chan struct{}            // closed when no deposit is pending
	refs      map[certs.PublicKey]string // of our own removals
	issuer    issuer
	rtt       rtts
	described core.Describe // what we say of ourselves
}

// newLoop makes the loop of a node with a new core.
func newLoop(n *Node, setup replay.Setup, here addresses, tickets issuer) *loop {
	l := &loop{
		node: n, links: links{all: make(map[base.LinkID]*nodeLink)}, addresses: here, joins: make(joins), pings: make(pings), refs: make(map[certs.PublicKey]string), issuer: tickets, verifier: newVerifier(n),
		described: core.Describe{Rooms: setup.Config.Rooms, Tags: setup.Config.Tags}, epoch: setup.Config.Epoch, saved: make(chan error, 1), recalls: make(chan recalling, past.MaxReading),
		dials: dials{
			races: make(map[base.DialID]*race), names: names{lookup: n.cfg.lookup, last: make(map[string]answered)},
			endpoint: n.endpoint, mailbox: &n.mailbox, ctx: n.ctx, group: &n.wg, clock: n.clock, joinTime: n.cfg.JoinTimeout,
		},
	}
	l.driver = driver{clock: n.clock, core: setup.New(), recording: n.cfg.recording}
	if l.recording != nil {
		l.recording.Setup = setup
	}
	return l
}

// run is the loop's goroutine.
func (l *loop) run() {
	n := l.node
	defer close(n.ended)
	defer l.logPanic()
	l.awaken = time.NewTimer(0)
	defer l.awaken.Stop()
	l.settle()
	for n.ctx.Err() == nil {
		inputs, tick, wishes := n.inputs, l.awaken.C, n.endpoint.CarryWishes()
		if len(l.withheld) >= maxWithheld {
			inputs, tick, wishes = nil, nil, nil
		}
		select {
		case in := <-inputs:
			if l.now() > l.heardAt+hearEvery {
				l.hear()
			}
			in.handle(l)
			l.inputsWaiting()
		case <-tick:
			l.hear()
			l.step(core.Tick{})
		case w := <-wishes:
			l.carryWished(w)
		case err := <-l.saved:
			l.release(err)
		case <-n.ctx.Done():
			return
		}
		l.settle()
		l.tellDecided()
		l.awaken.Reset(l.core.Next() - l.now())
	}
}

// logPanic logs the core's last inputs before a fault of ours ends the process.
func (l *loop) logPanic() {
	if fault := recover(); fault != nil {
		l.node.log.Error("a fault in the core; please report this", "fault", fault, "last inputs", l.trail.tail(trailInputs))
		panic(fault)
	}
}

// inputsWaiting handles the inputs that have come meanwhile, so that under load the core's
// announcements go out together.
func (l *loop) inputsWaiting() {
	for range cap(l.node.inputs) {
		select {
		case in := <-l.node.inputs:
			in.handle(l)
		default:
			return
		}
	}
}

// settle carries out the core's effects until there are none left.
func (l *loop) settle() {
	for {
		out := l.drain()
		switch {
		case out.Empty():
			return
		case len(l.withheld) > 0:
			l.withheld = append(l.withheld, out)
		case isToBeSaved(out):
			l.withheld = append(l.withheld, out)
			l.save(out)
		default:
			l.apply(out)
		}
	}
}

// isToBeSaved says that something of these effects must be on disk before any of them is
// carried out: a new epoch, the network that this peer is in, or the pass for it.
func isToBeSaved(out base.Effects) bool { return out.Epoch != 0 || out.Pass != nil || isReady(out) }

func isReady(out base.Effects) bool { return len(out.Events) > 0 && out.Events[0] == base.Ready{} }

// save writes it to disk, off the loop.
func (l *loop) save(out base.Effects) {
	n := l.node
	n.wg.Go(func() {
		var err error
		if out.Epoch != 0 {
			_, err = n.cfg.State.NextEpoch(out.Epoch)
		}
		if err == nil && (out.Pass != nil || isReady(out)) {
			err = n.cfg.State.Enter(store.Membership{Network: n.members.network, Pass: out.Pass})
		}
		l.saved <- err
	})
}

// release carries out the withheld effects, up to the next ones that must be saved first.
func (l *loop) release(err error) {
	out := l.withheld[0]
	switch {
	case err == nil:
		l.apply(out)
	default:
		l.node.fail(err) // and nothing goes out that is not on disk
	}
	for l.withheld = l.withheld[1:]; len(l.withheld) > 0; l.withheld = l.withheld[1:] {
		if out = l.withheld[0]; isToBeSaved(out) {
			l.save(out)
			return
		}
		l.apply(out)
	}
}

// hear reports to the core which links have been heard since the last time.
func (l *loop) hear() {
	l.heardAt = l.now()
	l.noticeSleep()
	l.node.messages.Tick(l.heardAt)
	for _, nl := range l.links.all {
		l.listen(nl)
	}
	l.rtt.look(l.heardAt, l.links.all)
	l.leadAnew()
}

// noticeSleep tells the core when the machine was asleep: the wall clock has run on, while the
// monotonic clock may have stopped. A wall clock that is set by hand looks the same, and does
// no harm.
func (l *loop) noticeSleep() {
	ahead := time.Now().Round(0).Sub(l.start.Round(0)) - l.now()
	if ahead > l.ahead+sleptAbove {
		l.step(core.Slept{For: ahead - l.ahead})
	}
	l.ahead = ahead
}

// logNotes writes what the core has to say to the log.
func (n *Node) logNotes(list []base.Note) {
	for _, note := range list {
		level := [...]slog.Level{base.Debug: slog.LevelDebug, base.Info: slog.LevelInfo, base.Warn: slog.LevelWarn}[note.Level]
		n.log.Log(n.ctx, level, note.Text, note.Args...)
	}
}

// apply carries out effects of the core, in the order that they require.
func (l *loop) apply(out base.Effects) {
	n := l.node
	n.logNotes(out.Notes)
	if out.Epoch != 0 {
		l.epoch = out.Epoch
		n.messages.IDs().Begin(n.Key(), out.Epoch)
	}
	for _, w := range out.Custody {
		n.keep(w)
	}
	for _, event := range out.Events {
		l.happened(event)
	}
	for _, r := range out.Removals {
		l.storeRemoval(r)
	}
	if isReady(out) {
		n.messages.Begin()
		l.expelWaiting()
		close(n.ready) // behind the joins, so that a caller of Send finds the peers
	}
	for _, r := range out.Redeem {
		l.redeemTicket(r)
	}
	l.links.admit(out)
	for _, up := range out.Up {
		l.linkUp(up)
	}
	for _, f := range out.Frames {
		l.sendFrame(f)
	}
	for _, c := range out.Closes {
		l.closeLink(c)
	}
	for _, d := range out.Dials {
		l.dials.race(d)
	}
	for _, id := range out.Cancels {
		l.dials.giveUp(id)
	}
	for _, v := range out.Verify {
		l.verifier.verify(v)
	}
	for _, id := range out.Unreachable {
		n.messages.Unreachable(id)
	}
	for _, e := range out.Envelopes {
		n.messages.TakeLetter(messaging.Letter{From: e.From, Over: uint64(e.Over), Sealed: e.Sealed})
	}
	for _, c := range out.Carried {
		n.endpoint.TakeCarried(transport.Tag(c.From), c.Packet)
	}
	for _, id := range out.CarriedWanted {
		l.carryForPing(id)
	}
	for _, p := range out.Pongs {
		l.ponged(p)
	}
	for _, r := range out.Recalls {
		recall(l, r)
	}
	for _, j := range out.Joined {
		l.joins.end(j)
	}
	n.joining.tell(out.Tried)
	n.messages.LeaveAnew(out.Releave...)
	if out.Err != nil {
		n.log.Debug("the core has ended", "why", out.Err, "last inputs", l.trail.tail(trailShort))
		n.fail(n.explain(out.Err))
	}
}

// happened passes an event of the core on to the program.
func (l *loop) happened(event base.Event) {
	n := l.node
	switch e := event.(type) {
	case base.Ready:
		n.messages.IDs().Begin(n.Key(), l.epoch)
		n.messages.Queue().Push(Ready{ID: n.id, Key: n.Key(), Listen: listening(n.endpoint.Addr(), l.addresses.own), Network: n.cfg.place.network.Label()})
	case base.Joined:
		n.meet(e.ID, l.core.Record(e.ID))
		noteLinks(l, e)
		n.messages.Joined(PeerJoined(e))
		l.match(e.ID)
	case base.Changed:
		n.messages.Queue().Push(PeerChanged{ID: e.ID, Rooms: e.Rooms, Tags: decodeTags(e.Tags), Visitor: e.Visitor})
	case base.Left:
		reason := ReasonLost
		switch {
		case e.Farewell:
			reason = ReasonLeft
		case e.Removed:
			reason = ReasonRemoved
		}
		n.messages.Queue().Push(PeerLeft{ID: e.ID, Reason: reason, Visitor: e.Visitor})
		n.messages.Left(e.ID)
		l.match(e.ID)
	case base.Returned:
		n.messages.Queue().Push(Returned(e))
	case base.Removed:
		n.messages.Queue().Push(Removed{ID: e.ID, Key: e.Key, By: e.By, Ref: l.refs[e.Key]})
		delete(l.refs, e.Key)
	case base.Broadcasted:
		l.heardBroadcast(e)
	case base.Recalled:
		heardBefore(l, e)
	}
}

// wished: package messaging wants something from the network.
type wished struct{ messaging.Wish }

func (w wished) handle(l *loop) {
	switch w := w.Wish.(type) {
	case messaging.LinkWish:
		l.match(w.To)
	case messaging.CarryWish:
		l.openCarried(w)
	case messaging.LetterWish:
		l.step(core.Route{To: w.To, Number: rand.Uint64(), Sealed: w.Sealed, Tries: w.Tries, Over: base.LinkID(w.Over)})
	case messaging.AnsweredWish:
		l.step(core.Answered{By: w.By, Over: base.LinkID(w.Over)})
	case messaging.CollectWish:
		l.step(core.Collect{Holder: w.Holder, Over: base.LinkID(w.Over), Collected: w.Word})
	case messaging.DepositWish:
		w.Taken(!w.Withdrawn() && l.step(core.Deposit{Deposit: w.Deposit}).OK)
	case messaging.WithdrawWish:
		l.step(core.Withdraw{Receiver: w.To, Rest: !w.Past && l.node.messages.LeaveLater(w.To), Past: w.Past})
	}
}
