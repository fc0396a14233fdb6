package arch

import (
	"fmt"
	"go/constant"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLimitsAreDocumented compares the tables of limits in docs with the constants of the
// code: each row that names constants must have their values, and each constant called
// max… must stand in a row.
func TestLimitsAreDocumented(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []limit
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, limitsIn(filepath.Base(page), string(text))...)
	}
	if len(rows) < 100 {
		t.Fatalf("only %d limits found in docs", len(rows))
	}
	for _, problem := range wrongLimits(rows, constants(t)) {
		t.Error(problem)
	}
}

// TestWrongLimitsAreFound checks that the check above can fail.
func TestWrongLimitsAreFound(t *testing.T) {
	known := map[string]*types.Const{}
	for name, value := range map[string]any{"core.maxLinks": int64(256), "core.lease": 24 * time.Hour, "pb.MaxBody": int64(1 << 20), "core.maxDials": int64(64)} {
		kind, number := types.Typ[types.Int], constant.MakeInt64(0)
		switch value := value.(type) {
		case int64:
			number = constant.MakeInt64(value)
		case time.Duration:
			number = constant.MakeInt64(int64(value))
			kind = types.Typ[types.Int64]
		}
		known[name] = types.NewConst(0, nil, name, kind, number)
	}
	rows := limitsIn("page.md", `
| what | constant | value |
| --- | --- | --- |
| links | `+"`core.maxLinks`"+` | 256 |
| right | `+"`core.lease`, `pb.MaxBody`"+` | 86400000000000, 1 MiB |
| wrong | `+"`pb.MaxBody`"+` | 2 MiB |
| gone | `+"`core.maxKept`"+` | 1 |
| two | `+"`core.maxLinks`, `core.lease`"+` | 256 |
| odd | `+"`core.maxLinks`"+` | many |
`)
	got := strings.Join(wrongLimits(rows, known), "\n")
	for _, want := range []string{
		"pb.MaxBody is 1048576, not 2 MiB", "core.maxKept does not exist", "has 2 constants and 1 values",
		"core.maxLinks is 256, not many", "core.maxDials stands in no table",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing said: %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 5 {
		t.Errorf("%d problems found, not 5:\n%s", n, got)
	}
}

// limit is a row of a table with the columns "constant" and "value".
type limit struct {
	at        string // page and line
	constants []string
	values    []string
}

func limitsIn(page, text string) (rows []limit) {
	names, values := -1, -1 // the columns, within such a table
	for i, line := range strings.Split(text, "\n") {
		cells, isRow := strings.CutPrefix(line, "|")
		switch list := strings.Split(cells, "|"); {
		case !isRow:
			names, values = -1, -1
		case names < 0:
			names, values = slices.Index(list, " constant "), slices.Index(list, " value ")
		case strings.HasPrefix(list[0], " -") || len(list) <= max(names, values):
		case strings.Contains(list[names], "`"):
			rows = append(rows, limit{
				fmt.Sprintf("%s:%d", page, i+1),
				strings.Split(strings.ReplaceAll(strings.TrimSpace(list[names]), "`", ""), ", "),
				strings.Split(strings.TrimSpace(list[values]), ", "),
			})
		}
	}
	return rows
}

// wrongLimits lists where the tables and the constants differ.
func wrongLimits(rows []limit, known map[string]*types.Const) (problems []string) {
	documented := map[string]bool{}
	for _, r := range rows {
		if len(r.constants) != len(r.values) {
			problems = append(problems, fmt.Sprintf("docs/%s: the row has %d constants and %d values", r.at, len(r.constants), len(r.values)))
			continue
		}
		for i, name := range r.constants {
			documented[name] = true
			c := known[name]
			if c == nil {
				problems = append(problems, fmt.Sprintf("docs/%s: %s does not exist%s", r.at, name, elsewhere(name, known)))
				continue
			}
			if !means(r.values[i], c) {
				problems = append(problems, fmt.Sprintf("docs/%s: %s is %s, not %s", r.at, name, shown(c), r.values[i]))
			}
		}
	}
	for name := range known {
		_, base, _ := strings.Cut(name, ".")
		if !documented[name] && strings.HasPrefix(strings.ToLower(base), "max") {
			problems = append(problems, fmt.Sprintf("%s stands in no table of docs/*.md: say what it bounds and what happens then", name))
		}
	}
	slices.Sort(problems)
	return problems
}

// elsewhere names the packages that have a constant of that name.
func elsewhere(name string, known map[string]*types.Const) string {
	_, base, _ := strings.Cut(name, ".")
	var list []string
	for other := range known {
		if strings.HasSuffix(other, "."+base) {
			list = append(list, other)
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return ", but " + strings.Join(list, ", ")
}

// constants lists the numeric constants of the product's packages, by package and name.
func constants(t *testing.T) map[string]*types.Const {
	t.Helper()
	known := map[string]*types.Const{}
	for name, info := range product(t) {
		for _, o := range info.Defs {
			c, ok := o.(*types.Const)
			if ok && c.Parent() == c.Pkg().Scope() && c.Val().Kind() == constant.Int {
				known[name+"."+c.Name()] = c
			}
		}
	}
	return known
}

// checked is what product has found; tests run one after the other.
var checked map[string]*types.Info

// product are the packages of the program, by their names.
func product(t *testing.T) map[string]*types.Info {
	t.Helper()
	if checked != nil {
		return checked
	}
	dirs := map[string]string{}
	for _, f := range goFiles(t) {
		name := f.syntax.Name.Name
		if f.test || name == "main" || strings.HasPrefix(f.dir, "scripts/") || slices.Contains(pretended, path.Base(f.dir)) {
			continue
		}
		if dir, taken := dirs[name]; taken && dir != f.dir {
			t.Fatalf("two packages are called %s: %s and %s", name, dir, f.dir)
		}
		dirs[name] = f.dir
	}
	checked = map[string]*types.Info{}
	for name, dir := range dirs {
		_, _, checked[name] = typed(t, filepath.Join(root, dir))
	}
	return checked
}

// pretended are the folders of packages that are for tests alone.
var pretended = []string{"coretest", "emulator", "emulatortest", "linestest", "replay", "simtest"}

var quantity = regexp.MustCompile(`^([0-9][0-9,]*(?:\.[0-9]+)?)(?: (bytes|KiB|MiB|ms|s|min|h|days?))?$|^2\^([0-9]+)( - 1)?$`)

var units = map[string]float64{
	"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20,
	"ms": float64(time.Millisecond), "s": float64(time.Second), "min": float64(time.Minute), "h": float64(time.Hour),
	"day": float64(24 * time.Hour), "days": float64(24 * time.Hour),
}

// means says whether a value, as people write it, is that of the constant.
func means(value string, c *types.Const) bool {
	m := quantity.FindStringSubmatch(value)
	if m == nil {
		return false
	}
	want, exact := constant.Int64Val(c.Val())
	if m[3] != "" {
		power, err := strconv.Atoi(m[3])
		got := uint64(1) << power
		if m[4] != "" {
			got--
		}
		return err == nil && power < 64 && exact && got == uint64(want)
	}
	number, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	isTime := strings.Contains("ms min s h days", m[2]) && m[2] != ""
	return err == nil && exact && isTime == (c.Type().String() == "time.Duration") && number*units[m[2]] == float64(want)
}

func shown(c *types.Const) string {
	if n, ok := constant.Int64Val(c.Val()); ok && c.Type().String() == "time.Duration" {
		return time.Duration(n).String()
	}
	return c.Val().String()
}
