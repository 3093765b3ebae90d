package schemes

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	tongma "github.com/tongma/tongma"
)

func TestDealersAndWhatTheyOffer(t *testing.T) {
	d := marketed(t)
	found := d.Dealers(tongma.HKD, tongma.THB)
	if len(found) != 1 || found[0].ID != "bourse" || found[0].Dealer.QuoteLifetime != 30*time.Second {
		t.Fatalf("%+v", found)
	}
	there, ok := found[0].Dealer.Pair(tongma.HKD, tongma.THB)
	if !ok || there.Decimals != 4 || there.MarginBasisPoints.String() != "25" || there.TestRate != "4.1975" {
		t.Errorf("%+v", there)
	}
	back, ok := found[0].Dealer.Pair(tongma.THB, tongma.HKD)
	if !ok || back.Decimals != 6 || back.MarginBasisPoints.String() != "30.5" || back.TestRate != "0.238237" {
		t.Errorf("%+v", back)
	}
	if _, ok := found[0].Dealer.Pair(tongma.THB, tongma.CNY); ok || d.Dealers(tongma.THB, tongma.CNY) != nil {
		t.Error("an offer was made up")
	}
	orchid, _ := d.Scheme("orchid")
	lotus, _ := d.Scheme("lotus")
	if !orchid.Exchange || lotus.Exchange {
		t.Error("who exchanges is not as written")
	}
}

// TestPayersOfASchemePayInWhatIsExchangedForThem: in the scheme's own currencies, in
// its order, and only where a dealer gives what the merchant is paid in.
func TestPayersOfASchemePayInWhatIsExchangedForThem(t *testing.T) {
	d := marketed(t)
	orchid, _ := d.Scheme("orchid") // HKD and THB
	lotus, _ := d.Scheme("lotus")
	for _, c := range []struct {
		scheme *Scheme
		paid   tongma.Currency
		want   int
	}{{orchid, tongma.THB, 0}, {orchid, tongma.HKD, 0}, {orchid, tongma.CNY, 0}, {lotus, tongma.HKD, 0}, {nil, tongma.THB, 0}} {
		if got := d.PayIn(c.scheme, c.paid); len(got) != c.want {
			t.Errorf("%v: %v", c, got)
		}
	}
	sandbox, err := Parse(1, Sandbox())
	if err != nil {
		t.Fatal(err)
	}
	harbour, _ := sandbox.Scheme("harbour") // HKD before CNY, JPY and USD
	for paid, want := range map[tongma.Currency]string{tongma.THB: "[HKD]", tongma.KWD: "[HKD]", tongma.CNY: "[]", tongma.Currency(116): "[]"} {
		if got := fmt.Sprint(sandbox.PayIn(harbour, paid)); got != want {
			t.Errorf("%s is paid in %s, want %s", paid, got, want)
		}
	}
}

// TestBothSidesOfAnExchangeSettleInOneWindow: in the model that has both currencies, or
// in the default one; a dealer whose currency its agent does not settle is refused.
func TestBothSidesOfAnExchangeSettleInOneWindow(t *testing.T) {
	sandbox, err := Parse(1, Sandbox())
	if err != nil {
		t.Fatal(err)
	}
	if got := sandbox.ExchangeModel("harbour", tongma.HKD, tongma.THB); got != DefaultModel || sandbox.Model("harbour", tongma.HKD) == DefaultModel {
		t.Errorf("model %q", got)
	}
	both := bytes.Replace(Sandbox(), []byte("      currencies: [HKD]\n      schemes: all"), []byte("      currencies: [HKD, USD]\n      schemes: all"), 1)
	both = bytes.Replace(both, []byte("      schedule: hkd-pairs\n"), nil, 1)
	joined, err := Parse(1, both)
	if err != nil {
		t.Fatal(err)
	}
	if got := joined.ExchangeModel("harbour", tongma.HKD, tongma.USD); got != "hkd-pairs" {
		t.Errorf("model %q, and hkd-pairs has both", got)
	}
	for what, text := range map[string][]byte{
		"agent": bytes.Replace(Sandbox(), []byte("    currencies: [CNY, HKD, JPY, KHR, KWD, THB, USD, VND]\n    system: SANDBOX"), []byte("    currencies: [CNY, HKD, JPY, KHR, KWD, THB, USD]\n    system: SANDBOX"), 1),
	} {
		text = regexp.MustCompile(`(?m)^.*(account: \S+/704|VND: \{account).*\n`).ReplaceAll(text, nil)
		_, err := Parse(1, text)
		var e *ParseError
		if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Path != "/participants/8/dealer/pairs/2/to" || !strings.Contains(e.Problems[0].Message, "settled by nobody") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestADealerHasNotTheNameOfAnothersScheme: it is asked for quotes by its id, where
// schemes are asked too.
func TestADealerHasNotTheNameOfAnothersScheme(t *testing.T) {
	_, err := Parse(1, bytes.ReplaceAll(Sandbox(), []byte("id: fx-lotus"), []byte("id: wechat")))
	var e *ParseError
	if !errors.As(err, &e) || e.Problems[0].Path != "/participants/8/dealer" {
		t.Error(err)
	}
}

func TestSubParticipantsSettleThroughTheirSponsor(t *testing.T) {
	d := marketed(t)
	lily, _ := d.Participant("lily")
	subs := d.Sponsored("lotus")
	if lily.Sponsor != "lotus" || len(subs) != 1 || subs[0] != lily || d.Sponsored("orchid") != nil || d.Sponsored("") != nil {
		t.Errorf("%+v", subs)
	}
}

func TestRatesAreDigitsAboveZero(t *testing.T) {
	for s, want := range map[string]bool{
		"4.1975": true, "4": true, "0.0001": true, "10": true, "4.19755": false, "0": false, "0.0": false, "04": false, ".5": false, "4.": false,
		"-1": false, "1e3": false, "": false, "12345678901.1234": true, "123456789012.1234": false,
	} {
		if validRate(s, 4) != want {
			t.Errorf("%q", s)
		}
	}
}

func TestFaultsOfSponsorsAndDealers(t *testing.T) {
	const pair = `{from: HKD, to: THB, decimals: 4, margin_basis_points: "25", test_rate: "4.1975"}`
	const at = "/participants/7/dealer/pairs/0"
	eachFault(t, []fault{
		{"sponsor: lotus", "sponser: lotus", "", tongma.FieldUnknown, "/participants/6/sponser: no such key; did you mean sponsor?"},
		{"sponsor: lotus", "sponsor: lotos", "", tongma.ParticipantUnknown, "/participants/6/sponsor: there is no such participant; did you mean lotus?"},
		{"sponsor: lotus", "sponsor: lily", "", tongma.FieldInvalid, "/participants/6/sponsor: must be another participant"},
		{"caps: {THB: \"50000.00\"}\n", "caps: {THB: \"50000.00\", CNY: \"1\"}\n", "", tongma.FieldInvalid, "/participants/6/caps/CNY: is in a currency in which its sponsor lotus has no account"},
		{"    sponsor: lotus\n", "    sponsor: lotus\n    accounts: [{agent: river-bank, currency: THB, account: LILY, number: \"1\"}]\n", "account: LILY", tongma.FieldInvalid, "/participants/6/accounts: are for who settles itself; this participant settles through lotus"},
		{"    sponsor: lotus\n", "    sponsor: lotus\n    dealer: {quote_lifetime: 1m, pairs: [{from: THB, to: HKD, decimals: 2}]}\n", "    dealer: {", tongma.FieldInvalid, "/participants/6/dealer: is for who settles itself; this participant settles through lotus"},
		{"    roles: [acquirer]\n", "    roles: [acquirer]\n    sponsor: lily\n", "    sponsor: lily\n", tongma.FieldInvalid, "/participants/2/sponsor: lily is itself sponsored by lotus"},
		{"{participant: orchid,", "{participant: lily,", "", tongma.FieldInvalid, "/default_rules/0/loss_sharing/0/participant: settles through lotus, so it can pay for nobody else"},
		{"quote_lifetime: 30s", "quote_lifetime: 30", "quote_lifetime: 30\n", tongma.FieldInvalid, "/participants/7/dealer/quote_lifetime: must be a time from 1s to 1h0m0s, such as 5s or 1m30s"},
		{"      quote_lifetime: 30s\n", "", "      pairs:\n", tongma.FieldMissing, "/participants/7/dealer/quote_lifetime: is missing"},
		{pair, `{from: HKD, to: HKD, decimals: 4}`, "", tongma.FieldInvalid, at + "/to: must be another currency than from"},
		{pair, `{from: THB, to: HKD, decimals: 4}`, `{from: THB, to: HKD, decimals: 6`, tongma.FieldInvalid, "/participants/7/dealer/pairs/1: stands twice"},
		{pair, `{from: CNY, to: THB, decimals: 4}`, "", tongma.FieldInvalid, at + "/from: is a currency in which the dealer has no account: give it a cap"},
		{pair, `{from: HKD, to: THX, decimals: 4}`, "", tongma.CurrencyUnknown, at + "/to: is no currency of ISO 4217"},
		{pair, `{from: HKD, to: THB, decimals: 13}`, "", tongma.FieldInvalid, at + "/decimals: must be a whole number from 0 to 12"},
		{pair, `{from: HKD, to: THB, decimals: 4, test_rate: "4.19751"}`, "", tongma.FieldInvalid, at + "/test_rate: must be a rate above zero with at most 4 decimals and 15 digits"},
		{pair, `{from: HKD, to: THB, decimals: 4, margin_basis_points: "10000"}`, "", tongma.FieldInvalid, at + "/margin_basis_points: must be below 10000, which would be the whole amount"},
		{pair, `{from: HKD, to: THB, decimals: 4, margin: "1"}`, "", tongma.FieldUnknown, at + "/margin: no such key"},
		{"    currencies: [THB, KHR]\n", "    currencies: [THB, KHR]\n    exchange: maybe\n", "    exchange: maybe\n", tongma.FieldInvalid, "/schemes/0/exchange: must be true or false"},
	})
}

// TestFeesOfTwoCurrenciesCanBeTaken: an acquirer whom a rule names has an account in
// what payers pay for it through a dealer, or the directory is refused.
func TestFeesOfTwoCurrenciesCanBeTaken(t *testing.T) {
	const base = `name: two
rules: default
switch_party: house
participants:
  - {id: shop, name: Shop, country: TH, roles: [acquirer], acquirer_ids: ["00010344"], accepts: ACCEPTS, caps: {THB: "1000.00"SHOPCAP}}
  - {id: east, name: East, country: TH, roles: [acquirer], acquirer_ids: ["00010345"], accepts: all, caps: {JPY: "1000"}}
  - {id: wallet, name: Wallet, country: CN, roles: [issuer], accepts: all, caps: {HKD: "1000.00", USD: "1000.00"}}
  - {id: house, name: House, country: CN, roles: [service], caps: {HKD: "1000.00", USD: "1000.00"}}
  - {id: fx, name: Dealer, country: CN, roles: [service], caps: {HKD: "1000.00", USD: "1000.00", THB: "1000.00"},
     dealer: {quote_lifetime: 30s, pairs: [{from: HKD, to: THB, decimals: 4}]}}
schemes:
  - {id: wechat, name: W, participant: wallet, currencies: [HKD, USD], exchange: EXCHANGE, countries: [CN, TH]}
  - {id: other, name: O, participant: wallet, currencies: [HKD], countries: [CN, TH]}
fees:
  - {schemes: FOR, currency: CURRENCY, operations: [OPERATION], effective_from: 2026-01-01T00:00:00+08:00,
     rules: [{kind: switch, from: issuer, to: switch, flat: "0.01"}, {kind: switch, from: ROLE, to: switch, flat: "0.01"}]}
`
	usual := []string{"ACCEPTS", "all", "SHOPCAP", "", "EXCHANGE", "true", "FOR", "[wechat]", "CURRENCY", "HKD", "OPERATION", "pay", "ROLE", "acquirer"}
	for name, c := range map[string]struct {
		change  []string
		refused bool
	}{
		"as it is":                        {nil, true},
		"fees of all schemes":             {[]string{"FOR", "all"}, true},
		"an acquirer with an account":     {[]string{"SHOPCAP", `, HKD: "0.00"`}, false},
		"one that does not accept it":     {[]string{"ACCEPTS", "[other]"}, false},
		"one that does":                   {[]string{"ACCEPTS", "[wechat]"}, true},
		"a rule that does not name it":    {[]string{"ROLE", "issuer"}, false},
		"a scheme that does not exchange": {[]string{"EXCHANGE", "false"}, false},
		"fees of another scheme":          {[]string{"FOR", "[other]"}, false},
		"what no dealer takes":            {[]string{"CURRENCY", "USD"}, false},
		"transfers":                       {[]string{"OPERATION", "transfer"}, false},
	} {
		_, err := Parse(1, []byte(strings.NewReplacer(append(c.change, usual...)...).Replace(base)))
		var e *ParseError
		switch {
		case !c.refused && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.refused && (!errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Path != "/fees/0/rules/1" || !strings.Contains(e.Problems[0].Message, "shop, who is paid in THB by payers of wechat in HKD, has no account in HKD")):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASchemeThatExchangesNeedsADealer(t *testing.T) {
	_, _, err := market(t, "    dealer:\n      quote_lifetime: 30s\n      pairs:\n"+
		"        - {from: HKD, to: THB, decimals: 4, margin_basis_points: \"25\", test_rate: \"4.1975\"}\n"+
		"        - {from: THB, to: HKD, decimals: 6, margin_basis_points: \"30.5\", test_rate: \"0.238237\"}\n", "")
	if tongma.ReasonOf(err) != tongma.FieldInvalid || err.Error() == "" {
		t.Error(err)
	}
	var e *ParseError
	if e, _ = err.(*ParseError); e == nil || len(e.Problems) != 1 || e.Problems[0].Path != "/schemes/1/exchange" {
		t.Error(err)
	}
}
