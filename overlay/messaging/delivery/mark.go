package delivery

import "slices"

// Mark says how far the messages of each of a sender's last runs have been shown, apart from
// the gaps.
type Mark struct {
	Runs []Run  // the positions rise
	Hash uint32 // of the last message, 0 if it is not known
	Gaps []Gap  // they rise
}

// Position is the position of the last message that was shown.
func (m Mark) Position() (p Position) {
	if n := len(m.Runs); n > 0 {
		p = m.Runs[n-1].Position
	}
	return p
}

// Raise notes that the messages of a run have been shown up to one, and says whether that is
// new. Neither the order of the calls nor repeats matter.
func (m *Mark) Raise(s Stamp) bool {
	i := slices.IndexFunc(m.Runs, func(r Run) bool { return r.Epoch == s.Epoch && r.Nonce == s.Nonce })
	switch {
	case i >= 0 && s.Counter <= m.Runs[i].Counter:
		return false
	case i >= 0:
		m.Runs = slices.Delete(m.Runs, i, i+1) // it may have come behind others
	case len(m.Runs) == MaxRuns && s.Compare(m.Runs[0].Position) < 0:
		return false // forgotten
	}
	i, _ = slices.BinarySearchFunc(m.Runs, s.Position, func(r Run, p Position) int { return r.Compare(p) })
	m.Runs = slices.Insert(m.Runs, i, s.Run)
	if i == len(m.Runs)-1 {
		m.Hash = s.Hash
	}
	m.Runs = slices.Delete(m.Runs, 0, max(0, len(m.Runs)-MaxRuns))
	return true
}

// Stamps are calls of Raise that lead to the mark.
func (m *Mark) Stamps() (list []Stamp) {
	for i, r := range m.Runs {
		s := Stamp{Run: r}
		if i == len(m.Runs)-1 {
			s.Hash = m.Hash
		}
		list = append(list, s)
	}
	return list
}
