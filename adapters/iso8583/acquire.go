package iso8583

import (
	"context"
	"strings"

	"github.com/tongma/tongma"
)

// Purchase is a payment with a code that the payer shows.
type Purchase struct {
	Trace    Trace // zero: the next one
	Repeat   bool  // 0201: the same as was sent before, with the same Trace
	Code     string
	Amount   tongma.Money
	Merchant tongma.Merchant
	Order    string          // at most 64 characters; may be empty
	Scheme   tongma.SchemeID // may be empty
}

// Reversal undoes a purchase, whatever became of it.
type Reversal struct {
	Trace    Trace // zero: the next one; never that of the purchase
	Repeat   bool
	Original Trace
	Advice   bool         // 0420, which cannot be declined, instead of 0400
	Why      string       // DE39; default 68: no answer in time
	Amount   tongma.Money // of the purchase; may be zero
}

// Refund gives back all or part of a purchase. It names it by Original or by
// Payment.
type Refund struct {
	Trace    Trace // zero: the next one
	Repeat   bool
	Original Trace
	Payment  tongma.PaymentID
	Amount   tongma.Money
	Merchant tongma.Merchant
}

// Inquiry asks what became of a purchase, by Original or by Payment.
type Inquiry struct {
	Trace    Trace // zero: the next one
	Original Trace
	Payment  tongma.PaymentID
}

// SignOn binds the link to the acquirer. An error means that the link does not
// serve payments.
func (c *Client) SignOn(ctx context.Context) error { return c.manage(ctx, signOn) }

// SignOff stops payments on the link until the next SignOn.
func (c *Client) SignOff(ctx context.Context) error { return c.manage(ctx, signOff) }

// Echo tells whether the other end is there.
func (c *Client) Echo(ctx context.Context) error { return c.manage(ctx, echoTest) }

func (c *Client) manage(ctx context.Context, code string) error {
	m := c.message("0800", false, Trace{})
	m.SetText(70, code)
	r, err := c.exchange(ctx, m)
	if err == nil && !r.Approved() {
		err = &tongma.Error{Op: "iso8583: 0800", Reason: r.Reason, Detail: "DE39 " + r.Code}
	}
	return err
}

// Purchase asks for a payment. It returns an error only if there is no reply; a
// refusal is a reply.
func (c *Client) Purchase(ctx context.Context, p Purchase) (Reply, error) {
	m := c.message("0200", p.Repeat, p.Trace)
	m.SetText(3, "000000")
	m.SetText(22, "032") // bar code, no PIN
	m.SetText(25, "00")
	if err := c.setAmount(m, p.Amount); err != nil {
		return Reply{}, err
	}
	setMerchant(m, p.Merchant)
	tags := appendTag(nil, tagCode, p.Code)
	if tags == nil {
		return Reply{}, tagError(tongma.FieldInvalid, tagCode, 0, "empty, too long, or not printable ASCII")
	}
	tags = appendTag(tags, tagScheme, string(p.Scheme))
	tags = appendTag(tags, tagOrder, p.Order)
	m.Set(48, appendTag(tags, tagPresentation, "C"))
	return c.exchange(ctx, m)
}

// Reverse asks for a reversal. A Reply that is not Approved is to be repeated for
// an advice until it is.
func (c *Client) Reverse(ctx context.Context, r Reversal) (Reply, error) {
	mti := "0400"
	if r.Advice {
		mti = "0420"
	}
	m := c.message(mti, r.Repeat, r.Trace)
	m.SetText(3, "000000")
	if r.Amount != (tongma.Money{}) {
		if err := c.setAmount(m, r.Amount); err != nil {
			return Reply{}, err
		}
	}
	if r.Why == "" {
		r.Why = "68"
	}
	m.SetText(39, r.Why)
	c.setOriginal(m, r.Original, tongma.PaymentID{})
	return c.exchange(ctx, m)
}

// Refund asks for a refund.
func (c *Client) Refund(ctx context.Context, r Refund) (Reply, error) {
	m := c.message("0200", r.Repeat, r.Trace)
	m.SetText(3, "200000")
	if err := c.setAmount(m, r.Amount); err != nil {
		return Reply{}, err
	}
	setMerchant(m, r.Merchant)
	c.setOriginal(m, r.Original, r.Payment)
	return c.exchange(ctx, m)
}

// Inquire asks what became of a purchase: the reply is that of the purchase, as
// it stands now.
func (c *Client) Inquire(ctx context.Context, q Inquiry) (Reply, error) {
	m := c.message("0100", false, q.Trace)
	m.SetText(3, "300000")
	c.setOriginal(m, q.Original, q.Payment)
	return c.exchange(ctx, m)
}

// message starts a message with what all of them have. Local time is that of the
// trace, so that a repeat is the same.
func (c *Client) message(mti string, repeat bool, t Trace) *Message {
	if t == (Trace{}) {
		t = c.NextTrace()
	}
	m := messages.Get().(*Message)
	m.Reset(mti)
	if repeat {
		m.mti[3] = '1'
	}
	m.SetText(7, t.Sent)
	m.SetText(11, t.STAN)
	if mti != "0800" && len(t.Sent) == 10 {
		m.SetText(12, t.Sent[4:])
		m.SetText(13, t.Sent[:4])
	}
	m.SetText(32, c.cfg.DE32)
	if c.cfg.DE33 != "" {
		m.SetText(33, c.cfg.DE33)
	}
	return m
}

func (c *Client) setAmount(m *Message, amount tongma.Money) error {
	de4, de49, err := c.cfg.Decimals.text(amount)
	if err != nil {
		return err
	}
	m.SetText(4, de4)
	m.SetText(49, de49)
	return nil
}

func (c *Client) setOriginal(m *Message, original Trace, payment tongma.PaymentID) {
	if original != (Trace{}) {
		m.SetText(90, originalData(original.STAN, original.Sent, c.cfg.DE32, c.cfg.DE33))
	}
	if !payment.IsZero() {
		m.Set(48, appendTag(nil, tagPayment, payment.String()))
	}
}

func setMerchant(m *Message, merchant tongma.Merchant) {
	if merchant.MCC != "" {
		m.SetText(18, merchant.MCC)
	}
	if merchant.Terminal != "" {
		m.SetText(41, padded(merchant.Terminal, 8))
	}
	m.SetText(42, padded(merchant.ID, 15))
	if merchant.Name != "" {
		m.SetText(43, cut(merchant.Name, 25)+cut(merchant.City, 13)+cut(merchant.Country, 2))
	}
}

// padded fills s with spaces. It does not cut, since half an id is another id.
func padded(s string, size int) string { return s + strings.Repeat(" ", max(0, size-len(s))) }

// cut makes s exactly size characters, each of which ISO 8583 can carry.
func cut(s string, size int) string {
	out := make([]byte, 0, size)
	for _, r := range s {
		if len(out) == size {
			break
		}
		if r < 0x20 || r > 0x7e {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return padded(string(out), size)
}
