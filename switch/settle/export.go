package settle

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/schemes"
)

// File is one file of an export.
type File struct {
	Name string // "win-000012-nets.csv"
	Type string // its media type
	Body []byte
}

// CSV returns a sheet as four tables: the matrix of who owes whom, the nets, the legs
// that settle it with what is settled of them, and the payments, each with a line of
// names. Amounts are decimals of their currency. Nothing in them is a formula: a text
// that a spreadsheet would take for one has an apostrophe before it.
func CSV(s clearing.Sheet, items []clearing.WindowItem) []File {
	stem := strings.ReplaceAll(s.Window.String(), "_", "-")
	matrix := table{{"window", "currency", "debtor", "creditor", "gross", "payments", "fees"}}
	for _, o := range s.Matrix {
		matrix.add(s.Window.String(), o.Currency.Code(), string(o.Debtor), string(o.Creditor), decimal(o.Gross, o.Currency), strconv.FormatInt(o.Count, 10), decimal(o.Fees, o.Currency))
	}
	nets := table{{"window", "currency", "participant", "debits", "credits", "net"}}
	for _, n := range s.Nets {
		nets.add(s.Window.String(), n.Currency.Code(), string(n.Participant), decimal(n.Debits, n.Currency), decimal(n.Credits, n.Currency), decimal(n.Net, n.Currency))
	}
	legs := table{{"window", "currency", "debtor", "creditor", "amount", "settled", "due", "tries", "short"}}
	for _, l := range s.Legs {
		legs.add(s.Window.String(), l.Currency.Code(), side(l.Debtor), side(l.Creditor), decimal(l.Net, l.Currency), decimal(l.Settled, l.Currency), decimal(l.Due, l.Currency),
			strconv.Itoa(l.Tries), strconv.FormatBool(l.Short))
	}
	payments := table{{"window", "entry", "kind", "payment", "debtor", "creditor", "amount", "currency", "fees", "deferred_in", "deferred_to"}}
	for _, it := range items {
		fees := make([]string, len(it.Legs))
		for i, f := range it.Legs {
			fees[i] = string(f.From) + ">" + string(f.To) + " " + f.Amount.Decimal()
		}
		to := ""
		if it.DeferredTo != 0 {
			to = it.DeferredTo.String()
		}
		payments.add(s.Window.String(), strconv.FormatUint(it.Entry, 10), it.Kind.String(), it.Payment.String(), string(it.Debtor), string(it.Creditor), it.Amount.Decimal(),
			it.Amount.Currency.Code(), strings.Join(fees, "; "), strconv.FormatBool(it.DeferredIn), to)
	}
	var out []File
	for _, f := range []struct {
		name string
		rows table
	}{{"matrix", matrix}, {"nets", nets}, {"legs", legs}, {"payments", payments}} {
		out = append(out, File{stem + "-" + f.name + ".csv", "text/csv; charset=utf-8", f.rows.csv()})
	}
	return out
}

type table [][]string

func (t *table) add(cells ...string) {
	for i, c := range cells {
		if c != "" && strings.ContainsRune("=+@\t\r", rune(c[0])) {
			cells[i] = "'" + c
		}
	}
	*t = append(*t, cells)
}

func (t table) csv() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.WriteAll(t) // a buffer takes everything
	return b.Bytes()
}

func decimal(minor int64, c tongma.Currency) string {
	return tongma.Money{Minor: minor, Currency: c}.Decimal()
}

// side names the settlement account as people do.
func side(p tongma.ParticipantID) string {
	if p == "" {
		return "settlement"
	}
	return string(p)
}

// The shapes of the JSON export. Amounts are decimals with their currency beside them.
type (
	jsonSheet struct {
		Window    string    `json:"window"`
		Model     string    `json:"model,omitempty"`
		Method    string    `json:"method"`
		State     string    `json:"state"`
		From      uint64    `json:"from_entry"`
		To        uint64    `json:"to_entry,omitempty"`
		ValueDate uint32    `json:"value_date,omitempty"`
		Cutoff    string    `json:"cutoff,omitempty"`
		Calendar  string    `json:"calendar,omitempty"`
		Hash      string    `json:"sheet_hash"`
		Totals    []jsonSum `json:"totals"`
		Nets      []jsonNet `json:"nets"`
		Matrix    []jsonOwe `json:"matrix"`
		Legs      []jsonLeg `json:"legs"`
		Payments  []jsonPay `json:"payments,omitempty"`
	}
	jsonSum struct {
		Currency    string `json:"currency"`
		Gross       string `json:"gross"`
		ToMove      string `json:"to_move"`
		Payments    int64  `json:"payments"`
		Compression int64  `json:"compression_basis_points"`
	}
	jsonNet struct {
		Participant string `json:"participant"`
		Currency    string `json:"currency"`
		Debits      string `json:"debits"`
		Credits     string `json:"credits"`
		Net         string `json:"net"`
	}
	jsonOwe struct {
		Debtor   string `json:"debtor"`
		Creditor string `json:"creditor"`
		Currency string `json:"currency"`
		Gross    string `json:"gross"`
		Payments int64  `json:"payments"`
		Fees     string `json:"fees"`
	}
	jsonLeg struct {
		Debtor   string `json:"debtor"`
		Creditor string `json:"creditor"`
		Currency string `json:"currency"`
		Amount   string `json:"amount"`
		Settled  string `json:"settled"`
		Due      string `json:"due"`
		Tries    int    `json:"tries,omitempty"`
		Short    bool   `json:"short,omitempty"`
	}
	jsonPay struct {
		Entry    uint64 `json:"entry"`
		Kind     string `json:"kind"`
		Payment  string `json:"payment,omitempty"`
		Debtor   string `json:"debtor"`
		Creditor string `json:"creditor"`
		Currency string `json:"currency"`
		Amount   string `json:"amount"`
		To       string `json:"deferred_to,omitempty"`
	}
)

// JSON returns a sheet, and its payments if they are given, as one document.
func JSON(s clearing.Sheet, items []clearing.WindowItem) (File, error) {
	j := jsonSheet{Window: s.Window.String(), Model: s.Model, Method: s.Method.String(), State: s.Progress.String(), From: s.Opened, To: s.Closed, ValueDate: s.ValueDate,
		Calendar: s.Calendar, Hash: hex.EncodeToString(s.Hash[:]), Totals: []jsonSum{}, Nets: []jsonNet{}, Matrix: []jsonOwe{}, Legs: []jsonLeg{}}
	if s.Cutoff != 0 {
		j.Cutoff = time.UnixMilli(s.Cutoff).UTC().Format(time.RFC3339)
	}
	for _, t := range s.Totals {
		j.Totals = append(j.Totals, jsonSum{t.Currency.Code(), decimal(t.Gross, t.Currency), decimal(t.ToMove, t.Currency), t.Count, t.Compression()})
	}
	for _, n := range s.Nets {
		j.Nets = append(j.Nets, jsonNet{string(n.Participant), n.Currency.Code(), decimal(n.Debits, n.Currency), decimal(n.Credits, n.Currency), decimal(n.Net, n.Currency)})
	}
	for _, o := range s.Matrix {
		j.Matrix = append(j.Matrix, jsonOwe{string(o.Debtor), string(o.Creditor), o.Currency.Code(), decimal(o.Gross, o.Currency), o.Count, decimal(o.Fees, o.Currency)})
	}
	for _, l := range s.Legs {
		j.Legs = append(j.Legs, jsonLeg{side(l.Debtor), side(l.Creditor), l.Currency.Code(), decimal(l.Net, l.Currency), decimal(l.Settled, l.Currency), decimal(l.Due, l.Currency), l.Tries, l.Short})
	}
	for _, it := range items {
		p := jsonPay{it.Entry, it.Kind.String(), it.Payment.String(), string(it.Debtor), string(it.Creditor), it.Amount.Currency.Code(), it.Amount.Decimal(), ""}
		if it.DeferredTo != 0 {
			p.To = it.DeferredTo.String()
		}
		j.Payments = append(j.Payments, p)
	}
	body, err := json.MarshalIndent(j, "", "  ")
	return File{strings.ReplaceAll(j.Window, "_", "-") + ".json", "application/json", append(body, '\n')}, err
}

// ISO20022 returns what is still due of a closed sheet as messages to the agents that
// a directory names for its model, each in an envelope with its business header: one
// pacs.009 for each transfer, or a pacs.010 where the debtor has given a mandate; and
// for each currency of which nothing is settled yet, the whole of it as a pacs.029, if
// its legs run through the settlement account. The messages of transfers are those that
// a Client sends. The error is SetupInvalid for a currency that nobody settles.
func ISO20022(s clearing.Sheet, d *schemes.Directory, created time.Time) ([]File, error) {
	if s.State == clearing.WindowOpen {
		return nil, &tongma.Error{Op: "settle.export", Reason: tongma.WindowNotClosed, Field: s.Window.String()}
	}
	var out []File
	add := func(name string, doc iso20022.Document, h iso20022.Heading) error {
		body, err := doc.Envelope(doc.Header(h.Sender, h.Agent))
		out = append(out, File{strings.ReplaceAll(s.Window.String(), "_", "-") + "-" + name + ".xml", "application/xml", body})
		return err
	}
	whole := map[tongma.Currency]bool{}
	for _, in := range clearing.Instruct(s) {
		c := in.Amount.Currency
		h, agent, err := headingFor(s, d, c, created)
		if err != nil {
			return nil, err
		}
		whole[c] = untouched(s, c)
		doc, err := messageOf(h, d, agent, Transfer{Instruction: in, Model: s.Model, ValueDate: s.ValueDate})
		if err != nil {
			return nil, err
		}
		kind, _, _ := strings.Cut(string(doc.Definition), ".001.")
		if err := add(kind+"-"+in.ID, doc, h); err != nil {
			return nil, err
		}
	}
	for _, t := range s.Totals {
		if !whole[t.Currency] {
			continue
		}
		h, _, err := headingFor(s, d, t.Currency, created)
		if err != nil {
			return nil, err
		}
		h.ID = iso20022.SheetKey(s, t.Currency)
		doc, err := iso20022.Settlement(h, s, t.Currency)
		if err != nil {
			return nil, err
		}
		if err := add("pacs.029-"+t.Currency.Code(), doc, h); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func headingFor(s clearing.Sheet, d *schemes.Directory, c tongma.Currency, created time.Time) (iso20022.Heading, schemes.AgentID, error) {
	a, ok := d.AgentFor(s.Model, c)
	if !ok {
		return iso20022.Heading{}, "", &tongma.Error{Op: "settle.export", Reason: tongma.SetupInvalid, Detail: "the directory names no agent that settles in " + c.Code()}
	}
	h, _, err := Heading(d, a.ID, c, s.ValueDate, created)
	return h, a.ID, err
}

// untouched tells whether a currency can still be told to the agent as a whole.
func untouched(s clearing.Sheet, c tongma.Currency) bool {
	for _, l := range s.Legs {
		if l.Currency == c && (l.Settled != 0 || (l.Debtor != "" && l.Creditor != "")) {
			return false
		}
	}
	return true
}
