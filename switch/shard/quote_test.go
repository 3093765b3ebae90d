package shard

import (
	"fmt"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
)

const bourse = `
name: bourse
rules: default
participants:
  - {id: shop, name: S, country: CN, roles: [acquirer], acquirer_ids: ["00010344"], issuer_code: "2001", accepts: all, caps: {THB: "100000.00"}}
  - {id: weibank, name: W, country: CN, roles: [issuer], accepts: all, caps: {HKD: "1000.00"}}
  - {id: fx, name: D, country: CN, roles: [service], caps: {HKD: "100000.00", THB: "5000.00"},
     dealer: {quote_lifetime: 30s, pairs: [{from: HKD, to: THB, decimals: 4, test_rate: "4.1975"}]}}
schemes:
  - {id: wechat, name: W, participant: weibank, countries: [CN], currencies: [HKD], exchange: true}
  - {id: north, name: N, participant: shop, countries: [CN], currencies: [THB]}
`

func shopCode(t *testing.T) string {
	account, err := codespec.UnifiedAccount{Acquirer: "2001", Merchant: "SHOP0001", Till: "01"}.Account()
	if err != nil {
		t.Fatal(err)
	}
	m, err := emv.Draft{Accounts: []emv.Account{account}, MCC: "5812", Currency: tongma.THB.Number(), Country: "CN", Name: "NOODLES", City: "X"}.Build()
	if err != nil {
		t.Fatal(err)
	}
	code, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// TestAQuoteShownAtOneDoorIsTakenAtEveryOther: the wallet's home keeps it, wherever its
// payer looked at the code. While the home is away, no quote is shown.
func TestAQuoteShownAtOneDoorIsTakenAtEveryOther(t *testing.T) {
	m := newMarketOf(t, 3, bourse)
	code, home := shopCode(t), clearing.HomeOf("weibank", 3)
	baht := tongma.Money{Minor: 10_000, Currency: tongma.THB}
	for shown := uint16(1); shown <= 3; shown++ {
		for taken := uint16(1); taken <= 3; taken++ {
			res, err := m.engines[shown-1].Resolve(t.Context(), tongma.Request{From: "weibank", Code: code, Amount: baht})
			if err != nil || res.Exchange.Quote == "" || res.Merchant.Name != "NOODLES" || len(res.Candidates) == 0 {
				t.Fatalf("at %d: %+v, %v", shown, res, err)
			}
			r := tongma.Request{Op: tongma.OpTransfer, From: "weibank", Key: fmt.Sprintf("k%d-%d", shown, taken), Code: code, Amount: baht, Quote: res.Exchange.Quote, Budget: 5 * time.Second}
			a, err := m.engines[taken-1].Do(t.Context(), r)
			if err != nil || a.Outcome != tongma.Approved || a.Exchange.Source != res.Exchange.Source {
				t.Errorf("shown at %d, taken at %d: %+v, %v", shown, taken, a, err)
			}
			r.Key += "-again"
			if a, err = m.engines[shown-1].Do(t.Context(), r); err != nil || a.Reason != tongma.QuoteSpent {
				t.Errorf("spent twice, at %d: %+v, %v", shown, a, err)
			}
		}
	}
	m.audit()
	m.stop(home)
	if res, err := m.engines[home%3].Resolve(t.Context(), tongma.Request{From: "weibank", Code: code, Amount: baht}); tongma.ReasonOf(err) != tongma.Overloaded {
		t.Errorf("its home is away: %+v, %v", res, err)
	}
	if res, err := m.engines[home%3].Resolve(t.Context(), tongma.Request{From: "weibank", Code: code}); err != nil || len(res.Candidates) == 0 {
		t.Errorf("what needs no quote: %+v, %v", res, err)
	}
}
