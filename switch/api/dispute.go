package api

import (
	"context"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/switch/office"
)

const disputesStandard, disputesMost = 50, 1000

// DisputeBody is the body of POST /v1/disputes.
type DisputeBody struct {
	Key     string           `json:"key,omitempty" maxLength:"64" doc:"the same as the header, or instead of it"`
	Payment tongma.PaymentID `json:"payment"`
	Amount  tongma.Money     `json:"amount,omitzero" doc:"none: all that is left of the payment"`
	Reason  string           `json:"reason" doc:"a code of the directory's"`
}

// NoteBody is the body of POST /v1/disputes/{id}/{action}.
type NoteBody struct {
	Note string `json:"note,omitempty" maxLength:"64" doc:"one line: where the evidence is, or why"`
}

// DisputeList is the answer to GET /v1/disputes.
type DisputeList struct {
	Disputes []office.DisputeView `json:"disputes" doc:"latest first"`
}

// raise begins a dispute: the payer's network does.
func (c *call) raise() error {
	return change(c, false, func(ctx context.Context, o Office, b DisputeBody, dry bool) (any, error) {
		key, err := c.key(b.Key, false)
		if err == nil && key == "" {
			err = &tongma.Error{Op: "http.dispute", Reason: tongma.KeyMissing, Field: tongma.HeaderKey}
		}
		if err != nil {
			return nil, err
		}
		if err := c.knownReason(b.Reason); err != nil {
			return nil, err
		}
		done, err := o.Raise(ctx, office.DisputeRequest{Key: key, By: c.who, Payment: b.Payment, Amount: b.Amount, Reason: b.Reason, DryRun: dry})
		return c.seen(&done), err
	})
}

// knownReason refuses a reason that the directory does not have, and lists those that it has.
func (c *call) knownReason(code string) error {
	rules, ok := c.cfg.Engine.Directory().Disputes()
	if !ok {
		return nil // nothing can be disputed: the office says so
	}
	if _, known := rules.Reason(code); known {
		return nil
	}
	codes := make([]string, len(rules.Reasons))
	for i, r := range rules.Reasons {
		codes[i] = r.Code
	}
	return &tongma.Error{Op: "http.dispute", Reason: tongma.FieldInvalid, Field: "/reason", Detail: "the directory has: " + strings.Join(codes, ", ")}
}

// disputeStep takes a dispute to its next stage, by the party that asks.
func (c *call) disputeStep() error {
	id, err := c.disputeID()
	if err != nil {
		return err
	}
	action, err := dispute.ParseAction(c.r.PathValue("action"))
	if err != nil {
		return &tongma.Error{Op: "http.dispute", Reason: tongma.OperationUnknown, Detail: "no step of a dispute is called so"}
	}
	if action >= dispute.ProposeUphold && action <= dispute.Refuse && c.operator {
		if err := c.two(); err != nil {
			return err
		}
	}
	return change(c, true, func(ctx context.Context, o Office, b NoteBody, dry bool) (any, error) {
		done, err := o.Step(ctx, office.DisputeStep{Dispute: id, By: c.who, Person: c.person, Action: action, Note: b.Note, DryRun: dry})
		return c.seen(&done), err
	})
}

// seen leaves out of a dispute what its parties need not know: who works for the
// operator.
func (c *call) seen(done *office.DisputeDone) *office.DisputeDone {
	c.hide(&done.Dispute)
	return done
}

func (c *call) hide(v *office.DisputeView) {
	if !c.operator {
		v.Maker, v.Checker = "", ""
		for i := range v.Steps {
			v.Steps[i].Person = ""
		}
	}
}

func (c *call) disputeID() (tongma.PaymentID, error) {
	id, err := tongma.ParsePaymentID(c.r.PathValue("id"))
	if err != nil {
		return id, &tongma.Error{Op: "http.dispute", Reason: tongma.DisputeUnknown, Detail: "not a dispute's id"}
	}
	return id, nil
}

func (c *call) oneDispute() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	id, err := c.disputeID()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	v, err := o.ShowDispute(ctx, id, c.who)
	if err != nil {
		return unread(err)
	}
	c.hide(&v)
	return c.send(v)
}

// disputes lists disputes: a participant's own, or all.
func (c *call) disputes() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	f, err := c.disputeFilter()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	list, err := o.Disputes(ctx, f)
	if err != nil {
		return unread(err)
	}
	if err := c.heardOf(f.Who, len(list)); err != nil {
		return err
	}
	for i := range list {
		c.hide(&list[i])
	}
	return c.send(DisputeList{Disputes: append([]office.DisputeView{}, list...)})
}

func (c *call) disputeFilter() (f office.DisputeFilter, err error) {
	q := c.r.URL.Query()
	bad := func(name, detail string) error {
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?" + name, Detail: detail}
	}
	f.Who = c.who
	if c.operator {
		f.Who = tongma.ParticipantID(q.Get("participant"))
	}
	if text := q.Get("payment"); text != "" {
		if f.Payment, err = tongma.ParsePaymentID(text); err != nil {
			return f, bad("payment", "not a payment id")
		}
	}
	if text := q.Get("stage"); text != "" {
		if f.Stage, err = dispute.ParseStage(text); err != nil {
			return f, bad("stage", "no such stage")
		}
	}
	if text := q.Get("turn"); text != "" {
		if f.Turn, err = dispute.ParseParty(text); err != nil {
			return f, bad("turn", "raiser, respondent or operator")
		}
	}
	switch q.Get("open") {
	case "", "false":
	case "true":
		f.Open = true
	default:
		return f, bad("open", "true or false")
	}
	f.Limit, err = c.limit(disputesStandard, disputesMost)
	return f, err
}

func (a *API) disputeOperations(d describe) []operation {
	const tag = "disputes"
	one := pathParam("the dispute")
	list := with(base("list-disputes", tag, "GET", "/v1/disputes", "List disputes", "A participant sees those that it is a party of."),
		textParam("participant", "for the operator: of whom"), textParam("payment", "about which payment"), textParam("stage", "that have come to it"),
		choiceParam("turn", "that wait for whom", "raiser", "respondent", "operator"), choiceParam("open", "only those that are not over", "true", "false"),
		countParam("limit", "at most so many", disputesStandard, disputesMost))
	list.Responses = map[string]*huma.Response{"200": d.json("Latest first.", DisputeList{})}
	d.problems(&list, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.OperationUnknown, tongma.FieldInvalid, tongma.ParticipantUnknown})
	show := with(base("get-dispute", tag, "GET", "/v1/disputes/{id}", "See how a dispute stands", "With its steps: who did what, when, and on what evidence. For its parties and the operator; to others it is unknown."), one)
	show.Responses = map[string]*huma.Response{"200": d.json("How it stands.", office.DisputeView{})}
	d.problems(&show, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.OperationUnknown, tongma.DisputeUnknown})
	raise := d.does(with(base("raise-dispute", tag, "POST", "/v1/disputes", "Dispute a payment",
		"For the network of the payer. What is disputed cannot be refunded besides. The other network has until the deadline to answer; who lets its deadline pass has given in."), keyParam(true)),
		DisputeBody{}, "The dispute.", office.DisputeDone{}, (*call).raise,
		[]tongma.Reason{tongma.KeyMissing, tongma.PaymentUnknown, tongma.DisputeTurn, tongma.DisputeLate, tongma.CalendarUnknown, tongma.NotRefundable, tongma.CurrencyMismatch,
			tongma.CurrencyUnknown, tongma.AmountInvalid, tongma.DisputeExceeds, tongma.ModelUnknown, tongma.ExistsOtherOperation, tongma.ExistsOtherAmount, tongma.ExistsOtherCurrency,
			tongma.ExistsOtherOriginal, tongma.ExistsOtherContent})
	raise.access = participantOnly
	actions := make([]any, 0, len(dispute.Actions()))
	for _, a := range dispute.Actions() {
		if a != dispute.Raise && a != dispute.Expire {
			actions = append(actions, a.String())
		}
	}
	step := d.does(with(base("step-dispute", tag, "POST", "/v1/disputes/{id}/{action}", "Take a dispute to its next stage",
		"The network that was paid accepts, represents or asks for arbitration; the payer's withdraws or goes on to pre-arbitration; of the operator one person proposes a ruling, and another approves or refuses it. "+
			"Giving up, or the money back, is possible out of turn."),
		one, &huma.Param{Name: "action", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, Enum: actions}}),
		NoteBody{}, "The dispute.", office.DisputeDone{}, (*call).disputeStep,
		[]tongma.Reason{tongma.DisputeUnknown, tongma.DisputeTurn, tongma.DisputeLate, tongma.MakerIsChecker, tongma.TooEarly, tongma.CalendarUnknown, tongma.PositionOverflow})
	step.access, step.RequestBody.Required = anyone, false
	return []operation{raise, {list, anyone, (*call).disputes}, {show, anyone, (*call).oneDispute}, step}
}
