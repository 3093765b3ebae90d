package conformance

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// exchanged looks at a hold in two currencies: the debtor pays the dealer, the dealer
// pays the creditor, by the rate that the line names, and a quote that is used once. A
// refund has no rate: what goes back is in proportion.
func (r *recomputing) exchanged(p *tracked) error {
	if p.Dealer == "" && p.Target == 0 && p.TargetCurrency == "" && p.Quote == "" && p.Rate == "" {
		return nil
	}
	var ok bool
	if p.target, ok = tongma.CurrencyByCode(p.TargetCurrency); !ok || !p.Dealer.Valid() || p.Target <= 0 || p.target == p.currency {
		return fmt.Errorf("%d %s by %q are no second side", p.Target, p.TargetCurrency, p.Dealer)
	}
	if p.of != nil {
		return nil
	}
	if err := p.byTheRate(); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, p.Time)
	if err != nil || p.Quote == "" {
		return fmt.Errorf("it names no quote, or no time")
	}
	day := at.Truncate(24 * time.Hour)
	quote := string(p.Dealer) + "\x00" + p.Quote
	if used, ok := r.quotes[quote]; ok && day.Sub(used) <= 24*time.Hour {
		return fmt.Errorf("the quote of %s was used before", p.Dealer)
	}
	r.quotes[quote] = day
	return nil
}

// byTheRate holds the two amounts against a rate such as "USD/JPY 155.230 source": so
// much of the second currency is one of the first. Of the side that is fixed follows
// the other, rounded down for the creditor, or up for the debtor.
func (p *tracked) byTheRate() error {
	part := strings.Fields(p.Rate)
	if len(part) != 3 || (part[2] != "source" && part[2] != "target") {
		return fmt.Errorf("%q is no rate", p.Rate)
	}
	base, term, _ := strings.Cut(part[0], "/")
	rate, ok := new(big.Rat).SetString(part[1])
	if !ok || rate.Sign() <= 0 || !(base == p.Currency && term == p.TargetCurrency || base == p.TargetCurrency && term == p.Currency) {
		return fmt.Errorf("%q is no rate between %s and %s", p.Rate, p.Currency, p.TargetCurrency)
	}
	if base == p.TargetCurrency {
		rate.Inv(rate)
	}
	// rate is now: so many of the creditor's units for one of the debtor's, major ones;
	// then minor ones.
	rate.Mul(rate, new(big.Rat).Quo(tenTo(p.target.MinorUnits()), tenTo(p.currency.MinorUnits())))
	if part[2] == "source" {
		exact := new(big.Rat).Mul(rate, new(big.Rat).SetInt64(p.Minor))
		if want := new(big.Int).Quo(exact.Num(), exact.Denom()); want.Cmp(big.NewInt(p.Target)) != 0 {
			return fmt.Errorf("%d %s come to %s %s, not %d", p.Minor, p.Currency, want, p.TargetCurrency, p.Target)
		}
		return nil
	}
	exact := new(big.Rat).Quo(new(big.Rat).SetInt64(p.Target), rate)
	want, rest := new(big.Int).QuoRem(exact.Num(), exact.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		want.Add(want, big.NewInt(1))
	}
	if want.Cmp(big.NewInt(p.Minor)) != 0 {
		return fmt.Errorf("%d %s cost %s %s, not %d", p.Target, p.TargetCurrency, want, p.Currency, p.Minor)
	}
	return nil
}

func tenTo(n int) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil))
}

// proportion holds what goes back to the debtor, by a refund or a dispute, against
// what comes back from the creditor: all that is then back is in proportion, rounded
// down, and what goes back now is what is missing of that.
func (p *tracked) proportion(l *line) error {
	if p.Dealer == "" {
		if l.Dealer != "" || l.Target != 0 {
			return fmt.Errorf("%q exchanges what was paid in one currency", l.Dealer)
		}
		return nil
	}
	due := new(big.Int).Mul(big.NewInt(p.taken()+l.Minor), big.NewInt(p.paid))
	due.Quo(due, big.NewInt(p.Target)).Sub(due, big.NewInt(p.others))
	if l.Dealer != p.Dealer || l.TargetCurrency != p.Currency || due.Cmp(big.NewInt(l.Target)) != 0 {
		return fmt.Errorf("%d %s go back by %q, due are %s %s by %q", l.Target, l.TargetCurrency, l.Dealer, due, p.Currency, p.Dealer)
	}
	return nil
}
