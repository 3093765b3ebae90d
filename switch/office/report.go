package office

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"github.com/tongma/tongma/clearing/recon"
)

// WriteJSON writes the report as one JSON document.
func (r *ReconReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// NothingCompared tells whether files were taken in of which all rows are of windows that
// the run is not about: that nothing differs says nothing then.
func (r *ReconReport) NothingCompared() bool {
	beside := false
	for _, in := range r.Inputs {
		if in.Rows > in.Beside {
			return false
		}
		beside = beside || in.Beside > 0
	}
	return beside
}

// WriteCSV writes the breaks of the report, one a line with a header.
func (r *ReconReport) WriteCSV(w io.Writer) error { return recon.WriteBreaks(w, r.Breaks, r.AsOf) }

// BreakTable returns breaks as the cells of a table, the first row its head.
func BreakTable(breaks []recon.Break, asOf time.Time) [][]string {
	rows := [][]string{{"id", "kind", "window", "owner", "participant", "about", "expected", "found", "at risk", "age", "state"}}
	for i := range breaks {
		b := &breaks[i]
		about := b.Payment.String()
		if about == "" {
			about = b.Ref
		}
		state := "open"
		if b.Resolution != nil {
			state = string(b.Resolution.How)
		}
		rows = append(rows, []string{b.ID, b.Kind.String(), b.Window.String(), string(b.Owner), string(b.Participant), about, b.Expected, b.Found,
			b.AtRisk.String(), age(b.Age(asOf)), state})
	}
	return rows
}

// age words a duration as people compare them: days, or hours below two days.
func age(d time.Duration) string {
	if h := int(d / time.Hour); h < 48 {
		return strconv.Itoa(h) + " h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " d"
}

// SummaryTable returns a report's summary as the cells of a table.
func SummaryTable(rows []recon.ReportRow) [][]string {
	out := [][]string{{"kind", "participant", "open", "at risk", "oldest", "ended"}}
	for _, r := range rows {
		out = append(out, []string{r.Kind.String(), string(r.Participant), strconv.Itoa(r.Open), r.AtRisk.String(), age(time.Duration(r.OldestHours) * time.Hour), strconv.Itoa(r.Ended)})
	}
	return out
}
