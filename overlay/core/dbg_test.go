package core
import "fmt"
func (p *process) dump() string {
	s := fmt.Sprintf("%s deaf=%v storm=%v doubtTill=%v now=%v inq=%d dials=%d\n", p.node.id, p.core.deaf, p.core.storm, p.core.doubtTill, p.core.now, len(p.core.inquiries), len(p.core.dials))
	for _, l := range p.core.links { s += fmt.Sprintf("  link %d %s state=%v nb=%v quiet=%v heard=%v\n", l.id, l.peer, l.state, l.neighbour, l.quiet, l.heard) }
	for _, e := range p.core.table.entries { s += fmt.Sprintf("  %s %v epoch=%d seq=%d %v missing=%v side=%+v\n", e.record.ID, e.record.Key.String()[7:12], e.record.Epoch, e.record.Seq, e.state, e.missing, e.our().ignoredTill) }
	for _, q := range p.core.inquiries { s += fmt.Sprintf("  inq %s own=%v tries=%d wit=%d rounds=%d began=%v fresh=%v\n", q.subject.record.ID, q.own, q.tries, len(q.witnesses), q.rounds, q.began, q.fresh) 
		for _, w := range q.witnesses { s += fmt.Sprintf("     %s un=%d said=%v\n", w.id, w.unanswered, w.said!=nil) } }
	return s
}
