package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// The columns of a file of ours and of the simulator's, which has no column for the system:
// it simulates quicpeer alone.
var (
	measuredColumns  = []string{"system", "n", "measure", "value"}
	simulatedColumns = measuredColumns[1:]
)

// simulated is the name of the simulator's values.
const simulated = "quicpeer, simulated"

func writeCSV(name string, all samples) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	rows := [][]string{measuredColumns}
	for _, s := range all {
		rows = append(rows, []string{s.system, strconv.Itoa(s.n), s.measure, strconv.FormatFloat(s.value, 'g', 6, 64)})
	}
	err = w.WriteAll(rows)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// readCSV reads a file with these columns.
func readCSV(name string, columns []string) (samples, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) == 0 || !slices.Equal(rows[0], columns) {
		return nil, fmt.Errorf("%s: the first line has to name the columns: %v", name, columns)
	}
	var all samples
	for i, row := range rows[1:] {
		s, err := parseRow(row)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, i+2, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func parseRow(row []string) (sample, error) {
	if len(row) == len(simulatedColumns) {
		row = append([]string{simulated}, row...)
	}
	n, err := strconv.Atoi(row[1])
	if err != nil || n < 1 {
		return sample{}, fmt.Errorf("n is %q, not a number of nodes", row[1])
	}
	if _, known := measureNamed(row[2]); !known {
		var names []string
		for _, m := range measures {
			names = append(names, m.name)
		}
		return sample{}, fmt.Errorf("no measure is called %q; there are %v", row[2], names)
	}
	value, err := strconv.ParseFloat(row[3], 64)
	if err != nil {
		return sample{}, fmt.Errorf("the value %q is not a number", row[3])
	}
	return sample{row[0], n, row[2], value}, nil
}
