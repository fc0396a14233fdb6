package delivery

// MaxCutOff is how many streams in a row may be cut off on a link (a guess).
const MaxCutOff = 1024

// Interruption is what the receiver on a link knows of streams that were cut off. Positions
// rise, and who has shown a later one has shown all before it; so nothing behind a lost
// stream may be taken until what was lost has come. The zero value: none was cut off.
type Interruption struct {
	waits   bool     // for the sender to begin again
	refused Position // the first message that was refused since; zero: none was
	row     int      // streams in a row that were cut off
}

// CutOff notes that a stream was cut off; false says that there are too many.
func (i *Interruption) CutOff() bool {
	i.waits, i.refused = true, Position{}
	i.row++
	return i.row <= MaxCutOff
}

// Admits says that a stream is to be read that begins with the message at p, where all
// up to taken has been taken. While the sender has not begun again, positions rise from
// stream to stream. So one that does not is the beginning, and has the oldest message in
// it that was lost; and nothing is lost before what was taken.
func (i *Interruption) Admits(p, taken Position) bool {
	if i.waits && i.refused == (Position{}) && taken.Before(p) {
		i.refused = p
		return false
	}
	i.waits = i.waits && taken.Before(p) && i.refused.Before(p)
	return !i.waits
}

// WentWell notes that a stream was read to its end.
func (i *Interruption) WentWell() { i.row = 0 }
