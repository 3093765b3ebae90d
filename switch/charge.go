package switching

import (
	"log/slog"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// fees returns the legs that go with a payment's posting, by the rules that were in
// force when it was held; of a scheme that the directory has left out since, by those of
// the version that the hold went by. A refund goes by the legs of its payment, which the
// books know. Rules that cannot be applied cost nothing, and are said to be wrong: the
// scheme has said yes, and the payer has paid.
func (e *Engine) fees(c *course) []clearing.Leg {
	if c.op == tongma.OpRefund {
		return nil
	}
	d := e.Directory()
	if _, there := d.Scheme(c.scheme.ID); !there && c.by != nil {
		d = c.by
	}
	rules := d.Fees(c.scheme.ID, c.op, c.debit.Currency, c.held)
	if len(rules) == 0 {
		return nil
	}
	who := clearing.Parties{Issuer: c.request.Issuer, Acquirer: c.request.Acquirer, Scheme: c.scheme.FeeParty, Switch: d.SwitchParty()}
	legs, err := clearing.Fees(rules, who, c.debit)
	if err == nil && c.request.Exchange.Dealer != "" {
		err = accountsFor(d, legs)
	}
	if err != nil {
		e.opts.Logger.Error("fees left out", "payment", c.id.String(), "scheme", string(c.scheme.ID), "err", err)
		return nil
	}
	return legs
}

// accountsFor reports a fee between others than those who have an account in its
// currency: of a payment in two currencies that is the payer's. A directory of which
// that is true is refused, so that it is true only of somebody who was in the one that
// the payment was held by, and is not in this one any more.
func accountsFor(d *schemes.Directory, legs []clearing.Leg) error {
	for _, l := range legs {
		for _, who := range []tongma.ParticipantID{l.From, l.To} {
			p, _ := d.Participant(who)
			if p == nil {
				return &tongma.Error{Op: "switch.fees", Reason: tongma.ParticipantUnknown}
			}
			if _, ok := p.Caps[l.Amount.Currency]; !ok {
				return &tongma.Error{Op: "switch.fees", Reason: tongma.NoAccount, Detail: string(who) + " in " + l.Amount.Currency.Code()}
			}
		}
	}
	return nil
}

// Warning says that a hold brought a participant to a part of its limit.
type Warning struct {
	Entry       uint64 // of the hold
	Participant tongma.ParticipantID
	Currency    tongma.Currency
	Percent     uint8 // 50, 75 or 90
	At          int64 // Unix milliseconds
}

// warn tells of a limit that is being used up: in the log, in the figures, and to
// the participant itself. It is a hint: one that is lost in a crash is not made up
// for.
func (e *Engine) warn(res *clearing.Result) {
	if res.Crossed == 0 {
		return
	}
	w := Warning{Entry: res.Entry.Number, Participant: res.Entry.Debtor, Currency: res.Entry.Amount.Currency, Percent: res.Crossed, At: res.Entry.Time}
	e.opts.Metrics.crossed(&w)
	e.opts.Logger.LogAttrs(e.ctx, slog.LevelWarn, "limit", slog.String("participant", string(w.Participant)), slog.String("currency", w.Currency.Code()), slog.Int("percent", int(w.Percent)))
	if o, ok := e.opts.Outbox.(interface{ Warned(Warning) }); ok {
		o.Warned(w)
	}
}
