package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"quicpeer/scripts/bench/command"
)

// tile is one of the small plots: a measure of networks of all sizes. Both axes
// have decades, so a cost that grows with a power of n is a straight line.
type tile struct{ measure, title, axis string }

var tiles = [2][3]tile{
	{
		{joinAll, "all join at once", "s"},
		{joinOne, "one more joins", "s"},
		{leave, "one leaves", "s"},
	}, {
		{crashOne, "one is killed", "s"},
		{crashMany, "a tenth is killed at once", "s"},
		{idleKB, "idle: sent by each", "kB/s"},
	},
}

// look is how a system's line is drawn. The colours are two of Okabe and Ito's
// (Color Universal Design, 2008), which colour-blind people tell apart.
type look struct {
	system string
	color  color.Color
	dashes []vg.Length
	marks  bool
}

var looks = []look{
	{ours.name, color.RGBA{0, 114, 178, 255}, nil, true},
	{simulated, color.RGBA{0, 114, 178, 255}, []vg.Length{4, 3}, false},
	{theirs.name, color.RGBA{213, 94, 0, 255}, nil, true},
}

// Of the whole picture, for a README that is 900 pixels wide.
const width, height = 24 * vg.Centimeter, 15 * vg.Centimeter

// drawGrowth writes the plot of all medians to a file, in the format of its name.
func drawGrowth(name string, all samples) error {
	sizes := all.sizes()
	if len(sizes) == 0 {
		return fmt.Errorf("%s isn't written: there is nothing to plot", name)
	}
	low, high := decades([]float64{float64(sizes[0]), float64(sizes[len(sizes)-1])})
	plots := make([][]*plot.Plot, len(tiles))
	for i, row := range tiles {
		for _, t := range row {
			p, err := t.draw(all)
			if err != nil {
				return err
			}
			p.X.Min, p.X.Max = low, high
			plots[i] = append(plots[i], p)
		}
	}
	canvas, err := draw.NewFormattedCanvas(width, height, strings.TrimPrefix(filepath.Ext(name), "."))
	if err != nil {
		return fmt.Errorf("%s isn't written: give it a name that ends in .svg or .png: %w", name, err)
	}
	layout := draw.Tiles{
		Rows: len(tiles), Cols: len(tiles[0]),
		PadX: vg.Centimeter / 2, PadY: vg.Centimeter / 2,
		PadTop: vg.Centimeter / 4, PadBottom: vg.Centimeter / 4, PadLeft: vg.Centimeter / 4, PadRight: vg.Centimeter / 4,
	}
	area := draw.New(canvas)
	area.SetColor(color.White)
	area.Fill(area.Rectangle.Path())
	for i, row := range plot.Align(plots, layout, area) {
		for j, place := range row {
			plots[i][j].Draw(place)
		}
	}
	var file bytes.Buffer
	if _, err := canvas.WriteTo(&file); err != nil {
		return err
	}
	// An SVG names its font. These are as wide as the first.
	named := []byte("font-family:Liberation Sans")
	return os.WriteFile(name, bytes.ReplaceAll(file.Bytes(), named, append(named, ",Arial,Helvetica,sans-serif"...)), 0o644)
}

// draw makes the plot of a tile. The first has the legend.
func (t tile) draw(all samples) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = t.title
	p.X.Label.Text = "nodes"
	p.Y.Label.Text = t.axis
	for _, style := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		style.Variant = "Sans"
		style.Size = vg.Points(9)
	}
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(2)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{230}, color.Gray{230}
	p.Add(grid)

	heights := []float64{0.1, 1} // two decades at least, so that noise looks small
	for _, l := range looks {
		points := t.points(all, l.system)
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("plotting %s of %s: %w", t.measure, l.system, err)
		}
		line.Color, line.Width, line.Dashes = l.color, vg.Points(1.5), l.dashes
		marks.Color, marks.Shape, marks.Radius = l.color, draw.CircleGlyph{}, vg.Points(2.5)
		p.Add(line)
		thumbs := []plot.Thumbnailer{line}
		if l.marks {
			p.Add(marks)
			thumbs = append(thumbs, marks)
		}
		if t == tiles[0][0] && slices.Contains(all.systems(), l.system) {
			p.Legend.Add(l.system, thumbs...)
		}
		for _, at := range points {
			heights = append(heights, at.Y)
		}
	}
	p.Y.Min, p.Y.Max = decades(heights)
	if t == tiles[0][0] {
		p.Y.Max *= 10 // room for the legend
	}
	return p, nil
}

// points are the medians of a system. Infinity and zero have no place on axes of
// decades.
func (t tile) points(all samples, system string) plotter.XYs {
	var list plotter.XYs
	for _, n := range all.sizes() {
		values := all.of(system, n, t.measure)
		if len(values) == 0 {
			continue
		}
		if y := command.Median(values); y > 0 && !math.IsInf(y, 1) {
			list = append(list, plotter.XY{X: float64(n), Y: y})
		}
	}
	return list
}

// decades are the powers of ten around values.
func decades(values []float64) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	low = math.Pow(10, math.Floor(math.Log10(low)))
	high = math.Pow(10, math.Ceil(math.Log10(high)))
	return low, max(high, 10*low)
}

// ticks has a tick for each power of ten.
func ticks(low, high float64) []plot.Tick {
	var list []plot.Tick
	for exponent := math.Round(math.Log10(low)); exponent <= math.Round(math.Log10(high)); exponent++ {
		at := math.Pow(10, exponent)
		list = append(list, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'f', -1, 64)})
	}
	return list
}
