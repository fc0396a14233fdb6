package delivery

// MaxCutOff is how many streams in a row may be cut off on a link (a guess).
const MaxCutOff = 1024

// Interruption is the receiver's memory of streams on a link that were cut off. Positions
// rise, and a receiver that has shown a later one has shown all before it; so it may take
// nothing behind a lost stream until the lost messages have come. The zero value: none was cut
// off.
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

// Admits says whether to read a stream that begins with the message at p, when all up to taken
// has been taken. While the sender has not begun again, positions rise from stream to stream.
// So a stream that does not rise is the new beginning, and contains the oldest lost message;
// none up to taken is lost.
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
