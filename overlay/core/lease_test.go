package core

import (
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// jump lets time pass in steps of a minute, while all links are heard.
func (r *rig) jump(d time.Duration) {
	var all base.Effects
	for until := r.now + d; r.now < until; {
		r.now = min(until, r.now+time.Minute)
		for _, l := range r.c.links.List {
			r.c.Step(r.now, Heard{Link: l.ID, Heard: r.now, Used: r.now, RoundTrip: 0})
		}
		r.c.env.NextTick = r.now // it has ticked all the time
		r.c.Step(r.now, Tick{})
		r.drain()
		for i, m := range r.frames() {
			if isQuestion(m) && r.c.env.Ready {
				r.c.Step(r.now, Received{Link: r.out.Frames[i].Link, Frame: pb.Wrap(piece())})
			}
		}
		addTo(&all, r.out)
	}
	r.out = all
}

// aged is an announcement that was first said so long ago.
func aged(a *pb.Announcement, age time.Duration) *pb.Announcement {
	a.Age = base.ToAge(age)
	return a
}
