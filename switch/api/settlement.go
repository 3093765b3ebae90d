package api

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/settle"
)

// Settler has closed windows settled: a *settle.Settler.
type Settler interface {
	Settle(ctx context.Context, id tongma.WindowID, how settle.How) (settle.Report, error)
	Confirm(ctx context.Context, h settle.ByHand) (settle.HandDone, error)
	Refuse(ctx context.Context, h settle.ByHand) (settle.HandDone, error)
	Dismiss(ctx context.Context, h settle.ByHand) (settle.HandDone, error)
	DirectoryOf(s *clearing.Sheet, c tongma.Currency) *schemes.Directory
}

const (
	stepsMost     = 1000           // of the waterfall, in one call
	farthestBack  = 48 * time.Hour // of a value date, which is today's somewhere on earth
	farthestAhead = 366 * 24 * time.Hour
)

// Closing is a window that was closed, or in a dry run would be.
type Closing struct {
	Window
	DryRun bool `json:"dry_run,omitempty"`
}

// Settlement is how a window stands after a call that had it settled.
type Settlement struct {
	Window
	Done   bool              `json:"done" doc:"nothing is left to do"`
	DryRun bool              `json:"dry_run,omitempty"`
	Exists bool              `json:"exists,omitempty" doc:"it was settled already: nothing was sent, and no money moved"`
	Events []SettlementEvent `json:"events" doc:"what was done, or in a dry run would be, in order"`
	Waits  []SettlementEvent `json:"waits" doc:"what it waits for: transfers without a final answer, or people"`
	Plan   []SettlementStep  `json:"plan" doc:"what the rules would do next for those who are short"`
}

// SettlementEvent is one thing that happened.
type SettlementEvent struct {
	Kind     string `json:"kind"`
	From     string `json:"from,omitempty" doc:"none: the settlement account, or nobody"`
	To       string `json:"to,omitempty"`
	For      string `json:"for,omitempty" doc:"of a cover: who was short"`
	Currency string `json:"currency,omitempty"`
	Amount   string `json:"amount,omitempty"`
	Payments int    `json:"payments,omitempty" doc:"that were moved into the next window"`
	Ref      string `json:"ref,omitempty" doc:"the instruction's id"`
	Text     string `json:"text,omitempty"`
	Says     string `json:"says" doc:"all of it in a line for people"`
}

// SettlementStep is one step that the rules would take.
type SettlementStep struct {
	Step     string `json:"step" enum:"suspend,prefunding,guarantee,share,recast,wait"`
	Short    string `json:"short" doc:"who cannot pay"`
	Creditor string `json:"creditor,omitempty" doc:"none: the settlement account"`
	Payer    string `json:"payer,omitempty"`
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// ModelView is a settlement model.
type ModelView struct {
	Model      string      `json:"model" doc:"empty: the one that every book has"`
	Method     string      `json:"method" enum:"multilateral,bilateral,gross"`
	Agent      string      `json:"agent,omitempty" doc:"who settles it; none: people do"`
	Open       string      `json:"open,omitempty" doc:"its open window; none: nothing was opened yet"`
	Currencies []string    `json:"currencies,omitempty"`
	Schemes    []string    `json:"schemes,omitempty"`
	AllSchemes bool        `json:"all_schemes,omitempty"`
	Schedule   string      `json:"schedule,omitempty" doc:"none: it is closed by hand"`
	Zone       string      `json:"zone,omitempty"`
	Cycles     []CycleView `json:"cycles,omitempty"`
	Next       *CutoffView `json:"next,omitempty" doc:"the next cut-off"`
	Fault      string      `json:"fault,omitempty" doc:"why the next cut-off is not known: its window stays open"`
}

// CycleView is one cut-off a day.
type CycleView struct {
	ID        string `json:"id"`
	ValueDays int    `json:"value_days" doc:"business days until it settles"`
}

// CutoffView is one instant at which a window is closed.
type CutoffView struct {
	At        string `json:"at" format:"date-time"`
	Local     string `json:"local" doc:"the same instant where the schedule lives"`
	Date      string `json:"date" format:"date" doc:"the business day that it belongs to"`
	ValueDate string `json:"value_date" format:"date" doc:"the day on which it settles"`
	Cycle     string `json:"cycle"`
	Calendar  string `json:"calendar" doc:"versions of the calendars that were asked"`
}

// ModelList is the answer to GET /v1/models.
type ModelList struct {
	Models []ModelView `json:"models"`
}

// closeWindow closes the open window of a model. There is always one, so that a
// repeat closes the next: ?window= says which one is meant.
func (c *call) closeWindow() error {
	if _, err := c.body(true); err != nil {
		return err
	}
	dry, err := c.dryRun()
	if err != nil {
		return err
	}
	ctx, cancel := c.within(changeWithin)
	defer cancel()
	e, err := c.closing(ctx)
	if err != nil {
		return about(err, c.r.URL.Query().Get("model"))
	}
	ledger := c.cfg.Engine.Ledger()
	reason := tongma.NoReason
	if dry {
		err = ledger.Read(ctx, func(b *clearing.Book) { reason = b.Propose(&e, b.Clock()).Reason })
	} else {
		var res clearing.Result
		if res, err = ledger.Submit(ctx, e); err == nil {
			e, reason = *res.Entry, res.Reason
		}
	}
	switch {
	case err != nil:
		return err
	case reason == tongma.WindowNotOpen && c.r.PathValue("id") != "": // named by its path, a window is closed once
	case reason != tongma.NoReason:
		name := e.Window.String()
		if e.Window == 0 {
			name = e.Model
		}
		return &tongma.Error{Op: "window.close", Reason: reason, Field: name, Detail: c.stands(ctx, e.Window)}
	}
	s, err := c.cfg.Engine.Sheet(ctx, e.Window)
	if err != nil {
		return unread(err)
	}
	return c.send(Closing{c.window(&s), dry})
}

// stands says in what state a window is, or nothing if it is not there.
func (c *call) stands(ctx context.Context, id tongma.WindowID) string {
	s, err := c.cfg.Engine.Sheet(ctx, id)
	if err != nil {
		return ""
	}
	return "it is " + s.State.String() + " already; nothing was closed now"
}

// closing reads which window is to be closed, of the path or the query, and when it
// settles: on the day that is given, else by the model's schedule.
func (c *call) closing(ctx context.Context) (clearing.Entry, error) {
	e, err := c.closingWhat()
	if err != nil {
		return e, err
	}
	var shard uint16
	if err := c.cfg.Engine.Ledger().Read(ctx, func(b *clearing.Book) { shard, _ = b.Shard() }); err != nil {
		return e, err
	}
	if shard > clearing.Head {
		return e, &tongma.Error{Op: "http.close", Reason: tongma.StateConflict, Detail: fmt.Sprintf("this is shard %d: windows are closed in shard 1, and the others follow it; nothing was closed, send this there", shard)}
	}
	if e.ValueDate != 0 {
		return e, nil
	}
	model := e.Model
	e, err = settle.CloseEntry(ctx, c.cfg.Engine.Ledger(), c.cfg.Engine.Directory(), e.Model, e.Window, time.Now())
	if model != "" {
		e.Model = model // the books say whether the window is of that one
	}
	return e, err
}

func (c *call) closingWhat() (clearing.Entry, error) {
	q := c.r.URL.Query()
	e := clearing.Entry{Kind: clearing.KindClose, Model: q.Get("model")}
	if c.r.PathValue("id") != "" {
		id, err := c.windowID()
		if err != nil {
			return e, err
		}
		e.Window = id
	} else if text := q.Get("window"); text != "" {
		id, err := tongma.ParseWindowID(text)
		if err != nil {
			return e, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?window", Detail: `want "win_" and digits`}
		}
		e.Window = id
	}
	if text := q.Get("value_date"); text != "" {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return e, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?value_date", Detail: "want a date as 2026-11-23"}
		}
		if ahead := time.Until(day); ahead < -farthestBack || ahead > farthestAhead {
			return e, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?value_date", Detail: "money moves today or within a year"}
		}
		e.ValueDate = uint32(day.Year()*10000 + int(day.Month())*100 + day.Day())
	}
	return e, nil
}

// settleWindow has the agent move what is due of a closed window, and has the rules
// applied to who is short, as far as that goes. It may be repeated after any fault: each instruction is
// carried out once.
func (c *call) settleWindow() error {
	how := settle.How{}
	switch text := c.r.URL.Query().Get("steps"); text {
	case "":
	case "none":
		how.Steps = -1
	default:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > stepsMost {
			return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?steps", Detail: `"none", or 1 to ` + strconv.Itoa(stepsMost)}
		}
		how.Steps = n
	}
	return c.settle(how)
}

// waterfall takes the next step of the rules for who is short.
func (c *call) waterfall() error { return c.settle(settle.How{Steps: 1}) }

func (c *call) settle(how settle.How) error {
	if _, err := c.body(true); err != nil {
		return err
	}
	id, err := c.windowID()
	if err != nil {
		return err
	}
	if how.DryRun, err = c.dryRun(); err != nil {
		return err
	}
	switch retry := c.r.URL.Query().Get("retry"); retry {
	case "", "false":
	case "true":
		how.Retry = true
	default:
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?retry", Detail: "true or false"}
	}
	ctx, cancel := c.within(settleWithin)
	defer cancel()
	if c.cfg.Settler == nil {
		return &tongma.Error{Op: "http.settle", Reason: tongma.AdapterDown, Detail: "no settlement agent is connected"}
	}
	if err := c.settledHere(ctx, id); err != nil {
		return err
	}
	r, err := c.cfg.Settler.Settle(ctx, id, how)
	if err != nil {
		return err
	}
	return c.send(c.settlement(&r, how.DryRun))
}

func (c *call) settlement(r *settle.Report, dry bool) Settlement {
	return Settlement{Window: c.window(&r.Sheet), Done: r.Done(), DryRun: dry, Exists: r.Done() && len(r.Events) == 0, Events: viewEvents(r.Events), Waits: viewEvents(r.Open), Plan: viewSteps(r.Plan)}
}

func viewEvents(events []settle.Event) []SettlementEvent {
	out := []SettlementEvent{}
	for _, e := range events {
		v := SettlementEvent{Kind: e.Kind, From: string(e.From), To: string(e.To), For: string(e.For), Payments: e.Count, Ref: e.Ref, Text: e.Text, Says: e.String()}
		if e.Money.Currency.Valid() {
			v.Currency, v.Amount = e.Money.Currency.Code(), e.Money.Decimal()
		}
		out = append(out, v)
	}
	return out
}

// models lists the settlement models of the directory and of the books.
func (c *call) models() error {
	var open []clearing.Model
	if err := c.read(func(b *clearing.Book) { open = b.Models() }); err != nil {
		return err
	}
	list := ModelList{Models: []ModelView{}}
	known := map[string]bool{}
	now := time.Now()
	for _, m := range c.cfg.Engine.Directory().Models() {
		known[m.ID] = true
		v := viewModel(m, now)
		for _, o := range open {
			if o.Name == m.ID {
				v.Open, v.Method = o.Open.String(), o.Method.String()
			}
		}
		list.Models = append(list.Models, v)
	}
	for _, o := range open { // the directory may have dropped it; its window stays
		if !known[o.Name] {
			list.Models = append(list.Models, ModelView{Model: o.Name, Method: o.Method.String(), Open: o.Open.String()})
		}
	}
	return c.send(list)
}

func viewModel(m *schemes.Model, now time.Time) ModelView {
	v := ModelView{Model: m.ID, Method: m.Method.String(), Agent: string(m.Agent), AllSchemes: m.AllSchemes}
	for _, cur := range m.Currencies {
		v.Currencies = append(v.Currencies, cur.Code())
	}
	for _, s := range m.Schemes {
		v.Schemes = append(v.Schemes, string(s))
	}
	if m.Schedule == nil {
		return v
	}
	v.Schedule, v.Zone = m.Schedule.ID(), m.Schedule.Zone()
	for _, cy := range m.Schedule.Cycles() {
		v.Cycles = append(v.Cycles, CycleView{cy.ID, cy.ValueDays})
	}
	next, err := m.Schedule.Next(now)
	if err != nil {
		v.Fault = err.Error()
		return v
	}
	v.Next = &CutoffView{next.Instant.UTC().Format(time.RFC3339), next.Local.Format("2006-01-02 15:04:05 -07:00"), next.Date.String(), next.SettlementDate.String(), next.Cycle, next.CalendarVersion}
	return v
}

// explain lists the entries behind a position.
func (c *call) explain() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	who := tongma.ParticipantID(c.r.PathValue("participant"))
	if !c.operator && who != c.who {
		return &tongma.Error{Op: "http", Reason: tongma.NotPermittedHere, Detail: "a participant's own positions only"}
	}
	currency, ok := tongma.CurrencyByCode(c.r.PathValue("currency"))
	if !ok {
		return &tongma.Error{Op: "http", Reason: tongma.CurrencyUnknown}
	}
	limit, err := c.limit(linesStandard, explainMost)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	v, err := o.ExplainPosition(ctx, who, currency, limit)
	if err != nil {
		return unread(err)
	}
	return c.send(v)
}

// message renders a sheet as a message to the settlement agent, in its envelope: as
// it was instructed, whatever was confirmed since.
func (c *call) message(s clearing.Sheet, form string) ([]byte, error) {
	if s.State == clearing.WindowOpen {
		return nil, &tongma.Error{Op: "http", Reason: tongma.WindowNotClosed, Field: s.Window.String()}
	}
	for i := range s.Legs {
		s.Legs[i].Due, s.Legs[i].Settled, s.Legs[i].Tries = s.Legs[i].Net, 0, 0
	}
	q := c.r.URL.Query()
	instructions := clearing.Instruct(s)
	if len(instructions) == 0 {
		return nil, &tongma.Error{Op: "http", Reason: tongma.StateConflict, Field: s.Window.String(), Detail: "it has nothing to move"}
	}
	code := cmp.Or(q.Get("currency"), instructions[0].Amount.Currency.Code())
	currency, ok := tongma.CurrencyByCode(code)
	if !ok {
		return nil, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?currency", Detail: "no such currency"}
	}
	debits := q.Get("direction") != "credit"
	if d := q.Get("direction"); d != "" && d != "debit" && d != "credit" {
		return nil, &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?direction", Detail: "debit or credit"}
	}
	d := c.directoryOf(&s)
	agent, ok := d.AgentFor(s.Model, currency)
	if !ok {
		return nil, &tongma.Error{Op: "http", Reason: tongma.SetupInvalid, Detail: "the directory names no settlement agent for this model and currency"}
	}
	h, _, err := settle.Heading(d, agent.ID, currency, s.ValueDate, time.Now())
	if err != nil {
		return nil, err
	}
	if form == "pacs029" {
		h.ID = iso20022.SheetKey(s, currency)
		return enveloped(&h)(iso20022.Settlement(h, s, currency))
	}
	var some []clearing.Instruction
	for _, in := range instructions {
		if in.Amount.Currency == currency && in.Debit == debits {
			some = append(some, in)
		}
	}
	if len(some) == 0 {
		return nil, &tongma.Error{Op: "http", Reason: tongma.StateConflict, Field: s.Window.String(), Detail: "nothing moves that way in this currency"}
	}
	h.ID = iso20022.MessageKey(iso20022.Pacs009, some)
	return enveloped(&h)(iso20022.CreditTransfers(h, some))
}

// enveloped puts a message into one document with its business header.
func enveloped(h *iso20022.Heading) func(iso20022.Document, error) ([]byte, error) {
	return func(doc iso20022.Document, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return doc.Envelope(doc.Header(h.Sender, h.Agent))
	}
}
