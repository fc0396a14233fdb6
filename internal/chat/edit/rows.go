package edit

import "sort"

// Row is a row of the text as a terminal shows it.
type Row struct {
	From, To int // clusters; the line end that follows is in neither row
	Indent   int // columns before it
}

// shape is what the rows are broken for.
type shape struct{ width, first, rest int }

// Rows breaks the text into rows of at most width columns, of which first are taken by a label in the
// first row and rest in the others. It returns the rows up to some below that of the cursor, and the row and
// the column of the cursor, which is width at most. measure is how many columns a cluster takes; see Reflow.
//
// Rows that did not change are kept for the next time, since a text may have 1 MiB.
func (t *Text) Rows(width, first, rest, below int, measure func(string) int) (rows []Row, x, y int) {
	if s := (shape{width, first, rest}); s != t.shape {
		t.shape, t.rows = s, nil
	}
	y = t.cursorRow()
	for n := len(t.rows); n == 0 || t.rows[n-1].To < len(t.clusters) && (t.rows[n-1].To <= t.at || n-1-y < below); n = len(t.rows) {
		t.addRow(measure)
		y = t.cursorRow()
	}
	x = t.rows[y].Indent
	for _, c := range t.clusters[t.rows[y].From:t.at] {
		x += measure(c)
	}
	return t.rows[:min(len(t.rows), y+1+below)], x, y
}

// cursorRow is the row of the cursor, among those that are known.
func (t *Text) cursorRow() int {
	return sort.Search(len(t.rows), func(i int) bool { return t.rows[i].From > t.at }) - 1
}

// addRow breaks off one row more.
func (t *Text) addRow(measure func(string) int) {
	row := Row{Indent: t.shape.first}
	if n := len(t.rows); n > 0 {
		row = Row{From: t.rows[n-1].To, Indent: t.shape.rest}
		if t.clusters[row.From] == "\n" {
			row.From++
		}
	}
	column := row.Indent
	for row.To = row.From; row.To < len(t.clusters) && t.clusters[row.To] != "\n"; row.To++ {
		if column += measure(t.clusters[row.To]); column > t.shape.width && row.To > row.From {
			break
		}
	}
	t.rows = append(t.rows, row)
}

// keepRows forgets the rows that may change with the cluster i.
func (t *Text) keepRows(i int) {
	t.rows = t.rows[:sort.Search(len(t.rows), func(j int) bool { return t.rows[j].To >= i })]
}

// Reflow forgets the rows: clusters are measured differently now.
func (t *Text) Reflow() { t.rows = nil }

// Up moves the cursor one row up, Down one row down, as far as possible in the same column. They return
// false in the first and the last row. The arguments are those of Rows.
func (t *Text) Up(width, first, rest int, measure func(string) int) bool {
	return t.vertical(-1, width, first, rest, measure)
}

// Down is explained at Up.
func (t *Text) Down(width, first, rest int, measure func(string) int) bool {
	return t.vertical(1, width, first, rest, measure)
}

func (t *Text) vertical(by, width, first, rest int, measure func(string) int) bool {
	rows, x, y := t.Rows(width, first, rest, 1, measure)
	if y+by < 0 || y+by >= len(rows) {
		return false
	}
	row := rows[y+by]
	i, column := row.From, row.Indent
	for i < row.To && column < x {
		column += measure(t.clusters[i])
		i++
	}
	if i == row.To && i > row.From && i < len(t.clusters) && t.clusters[i] != "\n" {
		i-- // the end of a broken row is the beginning of the next
	}
	t.move(i)
	return true
}
