package native

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// Quoter is what a participant does who exchanges currencies. Its method is called at
// once from many goroutines.
//
// Quote says at which rate it would take r.PayIn from r.Issuer and give r.Amount to
// r.Acquirer; or, if r.Exchange.Source is given, at which rate it would take that, and
// give whatever it comes to of r.Exchange.Target's currency. To quote, it answers Approved
// with an Exchange:
//
//   - Quote: its own id of the quote, 1 to 64 printable ASCII characters, never used
//     again. The switch uses a quote for one payment at most.
//   - Rate: "HKD/THB 4.1870 target", by which the switch computes what the payer pays:
//     up to a whole minor unit, so that the dealer keeps the residue. Where the source is
//     given, "HKD/THB 4.1870 source", by which it computes what the merchant gets: down to
//     one.
//   - Expiry: until when. A payment that is held by then binds the dealer to the rate,
//     however long the payer's network takes to answer.
//   - Source, or Target where the source is given: if it is there, what the other side
//     comes to by the dealer's own arithmetic, which must be the same.
//
// Anything else is no quote. No money moves by one, and a dealer whose quote was used
// hears of it by an event, "exchange.done".
type Quoter interface {
	Quote(ctx context.Context, r tongma.Request) (tongma.Answer, error)
}

// ServeDealer answers what the switch asks of a dealer with q, as Serve does for a
// wallet. The Scheme of cfg is the participant's id.
func ServeDealer(ctx context.Context, nc *nats.Conn, cfg ServiceConfig, q Quoter) (*Service, error) {
	return serve(ctx, nc, cfg, []tongma.Operation{tongma.OpQuote}, q.Quote)
}

// Dealer asks a participant for quotes over NATS: the switch's side.
type Dealer struct{ adapter *Adapter }

// NewDealer returns how a dealer is asked, as NewAdapter does for a scheme.
func NewDealer(nc *nats.Conn, dealer tongma.ParticipantID, opts AdapterOptions) *Dealer {
	return &Dealer{NewAdapter(nc, tongma.SchemeID(dealer), opts)}
}

// Quote asks for how much of r.PayIn the dealer would give r.Amount. The errors are
// those of an Adapter; none of them leaves anything open.
func (d *Dealer) Quote(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return d.adapter.ask(ctx, tongma.OpQuote, &r)
}

// Close stops listening.
func (d *Dealer) Close() { d.adapter.Close() }
