package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	switching "github.com/tongma/tongma/switch"
)

// LegView is what one side has to pay another so that a window settles.
type LegView struct {
	Debtor   string `json:"debtor,omitempty" doc:"none: the settlement account"`
	Creditor string `json:"creditor,omitempty" doc:"none: the settlement account"`
	Currency string `json:"currency"`
	Amount   string `json:"amount" doc:"of the net sheet in force"`
	Settled  string `json:"settled" doc:"confirmed up to now"`
	Due      string `json:"due" doc:"what is left; less than zero has to go back"`
	Tries    int    `json:"tries,omitempty" doc:"how often the agent refused it"`
	Short    bool   `json:"short,omitempty" doc:"the agent's last word was a refusal"`
}

// Window is a clearing window with its net sheet, and how far its settlement has
// come. A participant sees its own figures, pairs and legs.
type Window struct {
	Window       string                      `json:"window"`
	State        string                      `json:"state" enum:"open,closed,collecting,paying,short,recasting,settled"`
	Model        string                      `json:"model,omitempty" doc:"settlement model; none is the one that every book has"`
	Method       string                      `json:"method" enum:"multilateral,bilateral,gross"`
	Recasting    bool                        `json:"recasting,omitempty" doc:"payments were moved out, and the sheet is not drawn up anew yet"`
	FirstEntry   uint64                      `json:"first_entry" doc:"the window holds the journal entries of its model from this one"`
	EndEntry     uint64                      `json:"end_entry,omitempty" doc:"up to, and without, this one"`
	OpenedAt     string                      `json:"opened_at"`
	ClosedAt     string                      `json:"closed_at,omitempty"`
	Cutoff       string                      `json:"cutoff,omitempty" doc:"that the schedule named; none if it was closed by hand"`
	ValueDate    string                      `json:"value_date,omitempty" format:"date"`
	Calendar     string                      `json:"calendar,omitempty" doc:"versions of the calendars by which both were found"`
	Payments     int64                       `json:"payments"`
	Gross        map[string]string           `json:"gross" doc:"by currency"`
	ToMove       map[string]string           `json:"to_move" doc:"by currency: what the legs come to"`
	Compression  map[string]string           `json:"compression" doc:"by currency: how much of the gross has to be moved, in percent"`
	Nets         []switching.FigureView      `json:"nets"`
	Matrix       []switching.ObligationView  `json:"matrix"`
	Legs         []LegView                   `json:"legs"`
	Instructions []switching.InstructionView `json:"instructions,omitempty" doc:"what the settlement agent is still to do"`
	SheetHash    string                      `json:"sheet_hash"`
	Awaited      []uint16                    `json:"awaited_shards,omitempty" doc:"of several shards, those that have not handed over theirs: until then the sheet is not whole, and nothing is instructed"`
	HeadWindow   string                      `json:"head_window,omitempty" doc:"of a shard that is not the head: the window of the head that this one is settled by"`
}

// WindowsPage is the answer to GET /v1/windows.
type WindowsPage struct {
	Windows []Window `json:"windows" doc:"latest first"`
}

// FeeView is one fee of a posting.
type FeeView struct {
	Fee    string `json:"fee" enum:"interchange,scheme,switch"`
	From   string `json:"from"`
	To     string `json:"to"`
	Amount string `json:"amount"`
}

// WindowItem is one thing that was posted into a window.
type WindowItem struct {
	Entry      uint64    `json:"entry" doc:"that posted it here, turned it back here, or moved it to here"`
	Kind       string    `json:"kind" enum:"post,reversed,cover,chargeback" doc:"cover: what somebody paid for who was short, and is owed"`
	Payment    string    `json:"payment,omitempty"`
	Dispute    string    `json:"dispute,omitempty" doc:"of a chargeback"`
	Operation  string    `json:"operation,omitempty" enum:"pay,transfer,refund"`
	Debtor     string    `json:"debtor,omitempty" doc:"pays, as it was posted"`
	Creditor   string    `json:"creditor,omitempty"`
	Payer      string    `json:"payer,omitempty" doc:"who settled for the debtor, if it has a sponsor"`
	Payee      string    `json:"payee,omitempty" doc:"who settled for the creditor, if it has a sponsor"`
	Currency   string    `json:"currency"`
	Amount     string    `json:"amount,omitempty"`
	Dealer     string    `json:"dealer,omitempty" doc:"of two currencies: it gets the amount, and pays the target"`
	Target     string    `json:"target,omitempty"`
	TargetIn   string    `json:"target_currency,omitempty"`
	Fees       []FeeView `json:"fees,omitempty"`
	DeferredIn bool      `json:"deferred_in,omitempty" doc:"it came out of an earlier window"`
	DeferredTo string    `json:"deferred_to,omitempty" doc:"it is in that window now, and counts here no more"`
}

// WindowItems is the answer to GET /v1/windows/{id}/payments.
type WindowItems struct {
	Window string       `json:"window"`
	Items  []WindowItem `json:"items" doc:"in the order of the journal"`
	Next   uint64       `json:"next,omitempty" doc:"where to go on: ?after= of the next page; none: this is the last"`
}

func (c *call) windows() error {
	limit, err := c.limit(windowsStandard, windowsMost)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	var sheets []clearing.Sheet
	model, known := q.Get("model"), true
	see := func(b *clearing.Book) { sheets = b.Sheets(limit) }
	if q.Has("model") {
		see = func(b *clearing.Book) {
			sheets = sheetsOf(b, model, limit)
			known = slices.ContainsFunc(b.Models(), func(m clearing.Model) bool { return m.Name == model })
		}
	}
	if err := c.read(see); err != nil {
		return err
	}
	if !known {
		return &tongma.Error{Op: "http.windows", Reason: tongma.ModelUnknown, Field: model}
	}
	page := WindowsPage{Windows: []Window{}}
	for i := len(sheets) - 1; i >= 0; i-- {
		page.Windows = append(page.Windows, c.window(&sheets[i]))
	}
	return c.send(page)
}

// sheetsOf returns the latest windows of one model, oldest first. It looks back no
// further than windowsLooked windows, since the books stand still meanwhile.
func sheetsOf(b *clearing.Book, model string, limit int) (sheets []clearing.Sheet) {
	for _, m := range b.Models() {
		if m.Name != model {
			continue
		}
		for id := m.Open; id > 0 && len(sheets) < limit && m.Open-id < windowsLooked; id-- {
			if s, _ := b.Sheet(id); s.Model == model {
				sheets = append(sheets, s)
			}
		}
	}
	slices.Reverse(sheets)
	return sheets
}

func (c *call) oneWindow() error {
	id, err := c.windowID()
	if err != nil {
		return err
	}
	form, err := c.wants("json", "csv", "pacs009", "pacs029", "zip")
	if err != nil {
		return err
	}
	if form != "json" && form != "csv" && !c.operator {
		return &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere, Detail: "what the settlement agent is told is for the operator"}
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	s, err := c.cfg.Engine.Sheet(ctx, id)
	if err != nil {
		return unread(err)
	}
	w := c.window(&s)
	switch form {
	case "json":
		return c.send(w)
	case "csv":
		text, err := w.csv()
		if err != nil {
			return err
		}
		return c.attach("text/csv", w.Window+".csv", text)
	}
	if form == "zip" {
		text, err := c.archive(s)
		if err != nil {
			return err
		}
		return c.attach(mediaTypes["zip"], w.Window+".zip", text)
	}
	text, err := c.message(s, form)
	if err != nil {
		return err
	}
	return c.attach(xmlType, w.Window+"."+form+".xml", text)
}

// window shows a net sheet: all of it to the operator, and to a participant its
// own figures, with whom it has them, and nothing that would tell the others'.
func (c *call) window(s *clearing.Sheet) Window {
	w := viewWindow(s)
	if !c.operator {
		w.only(string(c.who))
	}
	return w
}

func viewWindow(s *clearing.Sheet) Window {
	v := switching.ViewWindow(*s)
	w := Window{Window: v.Window, State: s.Progress.String(), Model: s.Model, Method: s.Method.String(), Recasting: s.Recasting, FirstEntry: v.FirstEntry, EndEntry: v.EndEntry,
		OpenedAt: v.OpenedAt, ClosedAt: v.ClosedAt, ValueDate: date(s.ValueDate), Calendar: s.Calendar, Payments: v.Payments, Gross: v.Gross, ToMove: v.ToMove,
		Compression: map[string]string{}, Nets: v.Nets, Matrix: v.Matrix, Legs: []LegView{}, Instructions: v.Instructions, SheetHash: v.SheetHash, Awaited: s.Awaited}
	if s.Linked != 0 {
		w.HeadWindow = s.Linked.String()
	}
	if s.Cutoff != 0 {
		w.Cutoff = stamp(s.Cutoff)
	}
	for _, t := range s.Totals {
		n := t.Compression()
		w.Compression[t.Currency.Code()] = fmt.Sprintf("%d.%02d", n/100, n%100)
	}
	for _, l := range s.Legs {
		w.Legs = append(w.Legs, LegView{string(l.Debtor), string(l.Creditor), l.Currency.Code(), dec(l.Net, l.Currency), dec(l.Settled, l.Currency), dec(l.Due, l.Currency), l.Tries, l.Short})
	}
	return w
}

// only leaves what concerns one participant. The hash stays: it is what everybody
// compares. Whether some other one is short is nobody else's business.
func (w *Window) only(me string) {
	w.Gross, w.ToMove, w.Compression, w.Payments = map[string]string{}, map[string]string{}, map[string]string{}, 0
	w.Nets = slices.DeleteFunc(w.Nets, func(n switching.FigureView) bool { return n.Participant != me })
	w.Matrix = slices.DeleteFunc(w.Matrix, func(o switching.ObligationView) bool { return o.Debtor != me && o.Creditor != me })
	w.Instructions = slices.DeleteFunc(w.Instructions, func(in switching.InstructionView) bool { return in.Participant != me })
	w.Legs = slices.DeleteFunc(w.Legs, func(l LegView) bool { return l.Debtor != me && l.Creditor != me })
	for _, o := range w.Matrix {
		w.Payments += o.Payments
	}
	if w.State == "short" && !slices.ContainsFunc(w.Legs, func(l LegView) bool { return l.Short && l.Debtor == me }) {
		w.State, w.Recasting = "collecting", false
	}
}

// csv is a net sheet as one table: figures, pairs and legs, each row of one sort.
func (w *Window) csv() ([]byte, error) {
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	row := func(cells ...string) { _ = out.Write(cells) } // a buffer takes all
	row("row", "window", "model", "method", "value_date", "sheet_hash", "currency", "debtor", "creditor", "payments", "debits", "credits", "amount", "settled", "due")
	head := func(sort string) []string {
		return []string{sort, w.Window, w.Model, w.Method, w.ValueDate, w.SheetHash}
	}
	for _, n := range w.Nets {
		row(append(head("net"), n.Currency, n.Participant, "", "", n.Debits, n.Credits, n.Net, "", "")...)
	}
	for _, o := range w.Matrix {
		row(append(head("pair"), o.Currency, o.Debtor, o.Creditor, strconv.FormatInt(o.Payments, 10), "", "", o.Gross, "", "")...)
	}
	for _, l := range w.Legs {
		row(append(head("leg"), l.Currency, l.Debtor, l.Creditor, "", "", "", l.Amount, l.Settled, l.Due)...)
	}
	out.Flush()
	return b.Bytes(), out.Error()
}

func date(yyyymmdd uint32) string {
	if yyyymmdd == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", yyyymmdd/10000, yyyymmdd/100%100, yyyymmdd%100)
}

func dec(minor int64, c tongma.Currency) string {
	return tongma.Money{Minor: minor, Currency: c}.Decimal()
}

// atOnce is how many payments of a window are read in one go: some milliseconds, in which
// the books do nothing else.
const atOnce = 10_000

// eachPayment calls see for what was posted into a window, from a cursor on, until see
// returns false. Between the parts of it payments go on, however large the window is and
// whoever asks.
func (c *call) eachPayment(id tongma.WindowID, at clearing.WindowCursor, see func(*clearing.WindowItem) bool) error {
	for more := true; more; {
		n := 0
		if err := c.read(func(b *clearing.Book) {
			b.WindowPaymentsFrom(id, &at, func(it clearing.WindowItem) bool {
				n++
				more = see(&it)
				return more && n < atOnce
			})
		}); err != nil {
			return err
		}
		if err := c.r.Context().Err(); err != nil {
			return &tongma.Error{Op: "http", Reason: tongma.Overloaded, Err: err}
		}
		more = more && n == atOnce
	}
	return nil
}

// windowPayments lists what was posted into a window, a page at a time.
func (c *call) windowPayments() error {
	id, err := c.windowID()
	if err != nil {
		return err
	}
	limit, err := c.limit(itemsStandard, itemsMost)
	if err != nil {
		return err
	}
	after, err := c.number("after", 0)
	if err != nil {
		return err
	}
	page := WindowItems{Window: id.String(), Items: []WindowItem{}}
	there := false
	var at clearing.WindowCursor
	if err = c.read(func(b *clearing.Book) {
		_, there = b.Sheet(id)
		at = b.WindowCursorBehind(id, after)
	}); err != nil {
		return err
	}
	if err = c.eachPayment(id, at, func(it *clearing.WindowItem) bool {
		if !c.operator && !c.among(it) {
			return true
		}
		// Items of one entry stay together, or the next page would miss some.
		if n := len(page.Items); n >= limit && page.Items[n-1].Entry != it.Entry {
			page.Next = page.Items[n-1].Entry
			return false
		}
		page.Items = append(page.Items, c.item(it))
		return true
	}); err != nil {
		return err
	}
	if !there {
		return &tongma.Error{Op: "window", Reason: tongma.WindowUnknown, Field: id.String()}
	}
	return c.send(page)
}

// among tells whether an item is the caller's: as a party, or by a fee.
func (c *call) among(it *clearing.WindowItem) bool {
	return party(it, c.who) || slices.ContainsFunc(it.Legs, c.bears)
}

func party(it *clearing.WindowItem, who tongma.ParticipantID) bool {
	return it.Debtor == who || it.Creditor == who || it.Payer == who || it.Payee == who || it.Dealer == who || (it.Dealer != "" && it.Through == who)
}

func (c *call) item(it *clearing.WindowItem) WindowItem {
	v := WindowItem{Entry: it.Entry, Kind: it.Kind.String(), Payment: it.Payment.String(), Operation: it.Op.String(), Debtor: string(it.Debtor), Creditor: string(it.Creditor),
		Currency: it.Amount.Currency.Code(), Amount: it.Amount.Decimal(), DeferredIn: it.DeferredIn}
	if v.Kind == "dispute-step" {
		v.Kind, v.Payment, v.Dispute = "chargeback", "", v.Payment
	}
	if it.Payer != it.Debtor {
		v.Payer = string(it.Payer)
	}
	if it.Payee != it.Creditor {
		v.Payee = string(it.Payee)
	}
	if it.DeferredTo != 0 {
		v.DeferredTo = it.DeferredTo.String()
	}
	if it.Dealer != "" {
		v.Dealer, v.Target, v.TargetIn = string(it.Dealer), it.Target.Decimal(), it.Target.Currency.Code()
	}
	for _, l := range it.Legs {
		if c.operator || c.bears(l) {
			v.Fees = append(v.Fees, FeeView{l.Kind.String(), string(l.From), string(l.To), l.Amount.Decimal()})
		}
	}
	if !c.operator && !party(it, c.who) {
		v.Debtor, v.Creditor, v.Payer, v.Payee, v.Amount, v.Dealer, v.Target, v.TargetIn = "", "", "", "", "", "", "", ""
	}
	return v
}

// windowIDs reads ?window=, which may be given several times.
func (c *call) windowIDs() (ids []tongma.WindowID, err error) {
	for _, text := range c.r.URL.Query()["window"] {
		id, err := tongma.ParseWindowID(text)
		if err != nil {
			return nil, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?window", Detail: "not a window id"}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (c *call) windowID() (tongma.WindowID, error) {
	id, err := tongma.ParseWindowID(c.r.PathValue("id"))
	if err != nil {
		return 0, &tongma.Error{Op: "http", Reason: tongma.WindowUnknown, Detail: "not a window id"}
	}
	return id, nil
}
