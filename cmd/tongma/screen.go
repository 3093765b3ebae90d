package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// terminal tells whether f is a terminal. The null device is a character device
// too, and is none.
func terminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// painter colours text, or leaves it as it is.
type painter bool

// paint returns the painter for a stream.
func (a *app) paint(w io.Writer) painter {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	return painter(terminal(w) && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb")
}

func (p painter) in(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) red(s string) string    { return p.in("31", s) }
func (p painter) green(s string) string  { return p.in("32", s) }
func (p painter) yellow(s string) string { return p.in("33", s) }
func (p painter) bold(s string) string   { return p.in("1", s) }
func (p painter) dim(s string) string    { return p.in("2", s) }

// say talks to people on stderr, a line at a time, unless they asked for quiet.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, strings.TrimSuffix(format, "\n")+"\n", args...)
	}
}

// clean makes text that came from outside safe for a terminal: a barcode must not
// move the cursor or recolour the screen.
func clean(s string) string {
	safe := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if safe(r) {
			return r
		}
		return '·'
	}, s)
}

// counted is a number of things, as people write it.
func counted[N int | int64 | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// column is one column of a table for people.
type column struct {
	name  string
	right bool // numbers
}

func left(name string) column  { return column{name: name} }
func right(name string) column { return column{name: name, right: true} }

// showTable prints rows under columns, without lines, two blanks apart. Cells may
// come from outside. A terminal that is narrower than the table gets a record for
// each row instead: broken lines are no table.
func showTable(w io.Writer, columns []column, rows [][]string) {
	if len(rows) == 0 {
		fmt.Fprintln(w, strings.TrimRight(drawTable(columns, rows), "\n"))
		fmt.Fprintln(w, "none")
		return
	}
	drawn := drawTable(columns, rows)
	if most := widthOf(w); most > 0 && widest(drawn) > most {
		drawn = drawRecords(columns, rows)
	}
	_, _ = io.WriteString(w, drawn)
}

func widest(lines string) (width int) {
	for line := range strings.Lines(lines) {
		width = max(width, text.StringWidth(strings.TrimRight(line, "\n")))
	}
	return width
}

// drawRecords draws each row as lines of a name and a value, an empty line between.
// What is empty is left out, and a column without a name goes on with the one before.
func drawRecords(columns []column, rows [][]string) string {
	var b strings.Builder
	longest := 0
	for _, c := range columns {
		longest = max(longest, text.StringWidth(strings.TrimSpace(c.name)))
	}
	for i, r := range rows {
		if i > 0 {
			b.WriteString("\n")
		}
		for j := 0; j < len(r); j++ {
			name, value := strings.TrimSpace(columns[j].name), strings.TrimSpace(clean(r[j]))
			for name != "" && j+1 < len(r) && columns[j+1].name == "" {
				j++
				value = strings.TrimSpace(value + " " + clean(r[j]))
			}
			if value != "" {
				fmt.Fprintf(&b, "%s  %s\n", text.Pad(name, longest, ' '), value)
			}
		}
	}
	return b.String()
}

func drawTable(columns []column, rows [][]string) string {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	header := make(table.Row, len(columns))
	configs := make([]table.ColumnConfig, len(columns))
	for i, c := range columns {
		header[i] = c.name
		configs[i] = table.ColumnConfig{Number: i + 1}
		if c.right {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(configs)
	t.SuppressTrailingSpaces()
	t.AppendHeader(header)
	for _, r := range rows {
		row := make(table.Row, len(r))
		for i := range r {
			row[i] = clean(r[i])
		}
		t.AppendRow(row)
	}
	return t.Render() + "\n"
}

// progress is a counter on one line of a terminal; elsewhere it says nothing.
type progress struct {
	w     io.Writer
	what  string
	total uint64
	on    bool
	next  uint64
}

func (a *app) progress(what string, total uint64) *progress {
	return &progress{w: a.err, what: what, total: total, on: terminal(a.err) && !a.quiet && !a.json}
}

// at shows that n are done, about a hundred times over the whole.
func (p *progress) at(n uint64) {
	if p.on && n >= p.next {
		fmt.Fprintf(p.w, "\r%s %d of %d", p.what, n, p.total)
		p.next = n + max(1, p.total/100)
	}
}

// count shows how much has come of a whole that nobody knows, about every 64 KiB.
func (p *progress) count(n int) {
	p.total += uint64(n)
	if p.on && p.total >= p.next {
		fmt.Fprintf(p.w, "\r%s %d", p.what, p.total)
		p.next = p.total + 64<<10
	}
}

// end takes the line away.
func (p *progress) end() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// nearest returns the name that was probably meant, or "" if none is near.
func nearest(name string, names []string) string {
	best, least := "", len(name)/2+1
	for _, n := range names {
		if d := editDistance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// editDistance counts single insertions, deletions and changes from one name to
// another.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, change)
		}
	}
	return row[len(b)]
}
