package recon

import (
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// Report sums up breaks by kind, participant and currency.
type Report struct {
	AsOf time.Time   `json:"as_of"`
	Rows []ReportRow `json:"rows"`
}

// ReportRow is one kind of break of one participant in one currency.
type ReportRow struct {
	Kind        Kind                 `json:"kind"`
	Participant tongma.ParticipantID `json:"participant,omitempty"`
	Currency    string               `json:"currency"`
	Open        int                  `json:"open"`
	AtRisk      tongma.Money         `json:"at_risk"`      // of the open ones
	OldestHours int64                `json:"oldest_hours"` // full hours that the oldest open one has been open
	Ended       int                  `json:"ended"`        // paired, resolved, or not found again
}

// Summarise counts breaks as they stand at asOf, ordered by kind, participant and
// currency. It fails if the money at risk passes what Money can hold.
func Summarise(breaks []Break, asOf time.Time) (Report, error) {
	type key struct {
		kind        Kind
		participant tongma.ParticipantID
		currency    tongma.Currency
	}
	rows := map[key]*ReportRow{}
	for i := range breaks {
		b := &breaks[i]
		k := key{b.Kind, b.Participant, b.AtRisk.Currency}
		row := rows[k]
		if row == nil {
			row = &ReportRow{Kind: b.Kind, Participant: b.Participant, Currency: k.currency.Code(), AtRisk: tongma.Money{Currency: k.currency}}
			rows[k] = row
		}
		if !b.Open() {
			row.Ended++
			continue
		}
		row.Open++
		row.OldestHours = max(row.OldestHours, int64(b.Age(asOf)/time.Hour))
		var err error
		if row.AtRisk, err = row.AtRisk.Add(b.AtRisk); err != nil {
			return Report{}, err
		}
	}
	out := Report{AsOf: asOf, Rows: make([]ReportRow, 0, len(rows))}
	for _, row := range rows {
		out.Rows = append(out.Rows, *row)
	}
	slices.SortFunc(out.Rows, func(x, y ReportRow) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Participant, y.Participant), cmp.Compare(x.Currency, y.Currency))
	})
	return out, nil
}

// WriteCSV writes the report as CSV, with a header.
func (r Report) WriteCSV(w io.Writer) error {
	rows := [][]string{{"kind", "participant", "currency", "open", "at_risk", "oldest_hours", "ended"}}
	for _, row := range r.Rows {
		rows = append(rows, []string{row.Kind.String(), string(row.Participant), row.Currency, strconv.Itoa(row.Open), row.AtRisk.Decimal(),
			strconv.FormatInt(row.OldestHours, 10), strconv.Itoa(row.Ended)})
	}
	return csv.NewWriter(w).WriteAll(rows)
}

// WriteBreaks writes breaks as CSV, with a header, one a line and in the order
// given. A cell that a spreadsheet would take for a formula is put behind an
// apostrophe: references come from outside.
func WriteBreaks(w io.Writer, breaks []Break, asOf time.Time) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"id", "kind", "side", "window", "owner", "participant", "payment", "movement", "ref", "expected", "found", "at_risk",
		"currency", "first_seen", "age_hours", "line", "proposal", "ended", "ended_at", "ended_by", "entry", "reason"}}
	if err := out.WriteAll(rows); err != nil {
		return err
	}
	for i := range breaks {
		if err := out.Write(breakCells(&breaks[i], asOf)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func breakCells(b *Break, asOf time.Time) []string {
	cells := []string{b.ID, b.Kind.String(), b.Side, b.Window.String(), string(b.Owner), string(b.Participant), b.Payment.String(), string(b.Movement),
		b.Ref, b.Expected, b.Found, b.AtRisk.Decimal(), b.AtRisk.Currency.Code(), b.FirstSeen.UTC().Format(time.RFC3339),
		strconv.FormatInt(int64(b.Age(asOf)/time.Hour), 10), strconv.Itoa(b.Source.Line), b.Proposal}
	if r := b.Resolution; r != nil {
		cells = append(cells, string(r.How), r.At.UTC().Format(time.RFC3339), r.By, strconv.FormatUint(r.Entry, 10), r.Reason)
	} else {
		cells = append(cells, "", "", "", "", "")
	}
	for i, cell := range cells {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cells[i] = "'" + cell
		}
	}
	return cells
}
