package api

import (
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	switching "github.com/tongma/tongma/switch"
)

// Bounds of lists.
const (
	paymentsStandard, paymentsMost = 50, 500
	windowsStandard, windowsMost   = 20, 200
	windowsLooked                  = 2000 // latest windows in which a model's own are looked for
	itemsStandard, itemsMost       = 100, 1000
	linesStandard, linesMost       = 100, 1000
	explainMost                    = 10_000
	lookBack                       = 10_000 // latest payments in which a participant's own are looked for
)

// PaymentView is one payment in a list.
type PaymentView struct {
	Payment    string `json:"payment"`
	Original   string `json:"original,omitempty" doc:"refund: what it gives back of"`
	Operation  string `json:"operation,omitempty" enum:"pay,transfer,refund"`
	Status     string `json:"status" enum:"pending,approved,declined,reversed"`
	State      string `json:"state" enum:"confirming,in-doubt,reversing,approved,declined,reversed" doc:"finer than status"`
	Reason     string `json:"reason,omitempty" doc:"code of the catalogue"`
	ReasonName string `json:"reason_name,omitempty"`
	Scheme     string `json:"scheme,omitempty"`
	Debtor     string `json:"debtor,omitempty" doc:"participant that pays"`
	Creditor   string `json:"creditor,omitempty" doc:"participant that is paid"`
	Amount     string `json:"amount,omitempty" doc:"decimal, with the currency's own number of decimals"`
	Currency   string `json:"currency,omitempty"`
	Dealer     string `json:"dealer,omitempty" doc:"of two currencies: who gets the amount, and pays the target to the creditor"`
	Target     string `json:"target,omitempty" doc:"what the creditor gets; what goes back is counted in it"`
	TargetIn   string `json:"target_currency,omitempty"`
	Refunded   string `json:"refunded,omitempty"`
	Disputed   string `json:"disputed,omitempty" doc:"in disputes that are not over"`
	Back       string `json:"charged_back,omitempty" doc:"by disputes"`
	CodeTail   string `json:"code_tail,omitempty" doc:"last four digits of the payer's code"`
	Approval   string `json:"approval,omitempty"`
	SchemeRef  string `json:"scheme_ref,omitempty"`
	Window     string `json:"window,omitempty"`
	Entry      uint64 `json:"entry" doc:"the latest journal entry about it"`
	HeldAt     string `json:"held_at"`
	ChangedAt  string `json:"changed_at"`
}

// PaymentList is the answer to GET /v1/payments.
type PaymentList struct {
	Payments []PaymentView `json:"payments" doc:"latest first"`
}

// Position is one participant's standing in one currency.
type Position struct {
	Participant  string `json:"participant"`
	Currency     string `json:"currency"`
	Position     string `json:"position" doc:"posted debits less posted credits, not yet settled: more than zero owes"`
	Reserved     string `json:"reserved" doc:"open holds"`
	Cap          string `json:"cap,omitempty" doc:"net debit cap; absent for an account that may only receive"`
	Prefunded    string `json:"prefunded,omitempty" doc:"deposited and not withdrawn: it adds to the cap"`
	Available    string `json:"available,omitempty" doc:"what may still be debited; of one with a sponsor by its own limits, and nothing while its sponsor takes no debits"`
	Suspended    bool   `json:"suspended,omitempty" doc:"new debits are refused"`
	Sponsor      string `json:"sponsor,omitempty" doc:"who settles for it: position and holds are there"`
	MemoPosition string `json:"memo_position,omitempty" doc:"its own part of its sponsor's position"`
	MemoReserved string `json:"memo_reserved,omitempty" doc:"its own part of its sponsor's holds"`
}

// PositionsPage is the answer to GET /v1/positions.
type PositionsPage struct {
	Positions []Position `json:"positions"`

	Shards *ShardPositions `json:"shards,omitempty" doc:"of a switch of several shards: the positions above are those in this shard"`
}

// JournalPage is the answer to GET /v1/journal.
type JournalPage struct {
	Lines []clearing.Line `json:"lines"`
	Next  uint64          `json:"next" doc:"where to go on: the entry behind the last line"`
}

// ReasonView is one row of the catalogue.
type ReasonView struct {
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Title   string `json:"title"`
	Outcome string `json:"outcome" enum:"not_executed,executed,unknown" doc:"what happened to the money"`
	Act     string `json:"act" doc:"who must do something"`
	Retry   string `json:"retry" enum:"never,same-key,new-key,new-code,later"`
	DE39    string `json:"de39" doc:"ISO 8583 response code"`
	HTTP    int    `json:"http" doc:"HTTP status when the reason is the whole answer"`
	Advice  string `json:"advice,omitempty"`
}

// ReasonList is the answer to GET /v1/errors.
type ReasonList struct {
	Errors []ReasonView `json:"errors"`
}

// Whoami is the answer to GET /v1/whoami.
type Whoami struct {
	Participant string `json:"participant,omitempty"`
	Operator    bool   `json:"operator"`
	Person      string `json:"person,omitempty" doc:"operator: under which name, as maker or checker"`
	Sandbox     bool   `json:"sandbox"`
	Version     string `json:"version"`
}

func (c *call) whoami() error {
	return c.send(Whoami{Participant: string(c.who), Operator: c.operator, Person: c.person, Sandbox: c.cfg.Sandbox, Version: c.cfg.Version})
}

func (c *call) errors() error {
	list := ReasonList{Errors: []ReasonView{}}
	for _, r := range tongma.Reasons() {
		list.Errors = append(list.Errors, ReasonView{r.Reason.Code(), r.Slug, r.Title, r.Money.String(), string(r.Act), string(r.Retry), r.DE39, r.HTTP, r.Advice})
	}
	c.w.Header().Set("Cache-Control", "public, max-age=3600")
	return c.send(list)
}

func (c *call) party(p *clearing.Payment) bool {
	return c.operator || p.Asker == c.who || p.Debtor == c.who || p.Creditor == c.who || p.Dealer == c.who
}

// asAsker lets the operator inquire in the place of whoever asked for the payment.
func (c *call) asAsker(r *tongma.Request) error {
	var p clearing.Payment
	var ok bool
	if err := c.read(func(b *clearing.Book) { p, ok = b.Payment(r.Original) }); err != nil {
		return err
	}
	if !ok {
		return &tongma.Error{Op: "http", Reason: tongma.PaymentUnknown}
	}
	r.From = p.Asker
	return nil
}

// payments lists the latest payments: all for the operator, its own for a
// participant. With ?key= it is the one that the participant asked for under that
// key, or none.
func (c *call) payments() error {
	limit, err := c.limit(paymentsStandard, paymentsMost)
	if err != nil {
		return err
	}
	key := c.r.URL.Query().Get("key")
	if len(key) > tongma.MaxKey || (key != "" && c.operator) {
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?key", Detail: "a participant's own key, at most 64 characters"}
	}
	var found []clearing.Payment
	err = c.read(func(b *clearing.Book) {
		if key == "" {
			found = c.recent(b, limit)
		} else if p, ok := b.PaymentByKey(c.who, key); ok {
			found = append(found, p)
		}
	})
	if err != nil {
		return err
	}
	list := PaymentList{Payments: []PaymentView{}}
	for i := range found {
		list.Payments = append(list.Payments, viewPayment(&found[i]))
	}
	return c.send(list)
}

// recent looks back no further than lookBack payments, since the books stand
// still meanwhile.
func (c *call) recent(b *clearing.Book, limit int) []clearing.Payment {
	looked := 0
	var own []clearing.Payment
	b.Recent(1, func(p *clearing.Payment) bool { // the one that it keeps is where to stop
		looked++
		if c.party(p) {
			own = append(own, *p)
		}
		return len(own) == limit || looked == lookBack
	})
	return own
}

func viewPayment(p *clearing.Payment) PaymentView {
	state := switching.StateOf(p)
	v := PaymentView{Payment: p.ID.String(), Original: p.Original.String(), Operation: p.Op.String(), Status: statusOf(state).String(), State: state.String(),
		Scheme: string(p.Scheme), Debtor: string(p.Debtor), Creditor: string(p.Creditor), CodeTail: p.CodeTail, Approval: p.Approval,
		SchemeRef: p.SchemeRef, Window: p.Window.String(), Entry: p.Entry, HeldAt: stamp(p.HeldAt), ChangedAt: stamp(p.ChangedAt)}
	if p.Amount.Currency.Valid() {
		v.Amount, v.Currency = p.Amount.Decimal(), p.Amount.Currency.Code()
		back := p.Amount.Currency
		if p.Dealer != "" {
			back = p.Target.Currency
			v.Dealer, v.Target, v.TargetIn = string(p.Dealer), p.Target.Decimal(), back.Code()
		}
		for to, minor := range map[*string]int64{&v.Refunded: p.Refunded, &v.Disputed: p.Disputed, &v.Back: p.ChargedBack} {
			if minor > 0 {
				*to = dec(minor, back)
			}
		}
	}
	if p.Reason != tongma.NoReason && state != switching.Approved {
		v.Reason, v.ReasonName = p.Reason.Code(), p.Reason.String()
	}
	return v
}

func statusOf(s switching.State) tongma.Status {
	switch s {
	case switching.Approved:
		return tongma.Paid
	case switching.Declined:
		return tongma.Refused
	case switching.Reversed:
		return tongma.ReversedBack
	}
	return tongma.Pending
}

func stamp(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}

func (c *call) positions() error {
	var all []clearing.Position
	if err := c.read(func(b *clearing.Book) { all = b.Positions() }); err != nil {
		return err
	}
	page := PositionsPage{Positions: []Position{}}
	for i := range all {
		// A sponsor answers for those who settle through it, and sees how they stand.
		if p := &all[i]; c.operator || p.Participant == c.who || p.Sponsor == c.who {
			page.Positions = append(page.Positions, viewPosition(p, all))
		}
	}
	if err := c.allShards(&page); err != nil {
		return err
	}
	return c.send(page)
}

func viewPosition(p *clearing.Position, all []clearing.Position) Position {
	c := p.Currency
	v := Position{Participant: string(p.Participant), Currency: c.Code(), Position: dec(p.Position, c), Reserved: dec(p.Reserved, c), Suspended: p.Suspended, Sponsor: string(p.Sponsor)}
	left := p.Cap + p.Prefunded - p.Position - p.Reserved
	if p.Sponsor != "" {
		v.MemoPosition, v.MemoReserved = dec(p.MemoPosition, c), dec(p.MemoReserved, c)
		left -= p.MemoPosition + p.MemoReserved
		for _, s := range all {
			// Whether its sponsor takes debits it may know; how many, and of whom, not.
			if s.Participant == p.Sponsor && s.Currency == c && (s.Suspended || s.Cap+s.Prefunded-s.Position-s.Reserved <= 0) {
				left = 0
			}
		}
	}
	if p.Capped {
		v.Cap, v.Available = dec(p.Cap, c), dec(max(0, left), c)
	}
	if p.Prefunded != 0 {
		v.Prefunded = dec(p.Prefunded, c)
	}
	return v
}
