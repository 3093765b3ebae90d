package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/codespec/tlv"
)

func newSandboxCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "sandbox", Short: "Codes that make the demo's simulated wallets do as told"}
	return group(cmd, newSandboxCodesCmd(a))
}

// sandboxCode is one code and what it makes happen.
type sandboxCode struct {
	Scheme       string `json:"scheme"`
	Presentation string `json:"presentation"`
	Outcome      string `json:"outcome"`
	Code         string `json:"code"`
}

func newSandboxCodesCmd(a *app) *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "codes",
		Short: "Print codes that force each outcome at each simulated scheme",
		Example: `  tongma sandbox codes
  tongma sandbox codes --json --count 100`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if count < 1 || count > 100_000 {
				return usageError(fmt.Errorf("--count is 1 to 100000"))
			}
			codes, err := sandboxCodes(count)
			if err != nil {
				return err
			}
			a.print(codes, func(w io.Writer) {
				rows := make([][]string, len(codes))
				for i, c := range codes {
					rows[i] = []string{c.Scheme, c.Presentation, c.Outcome, c.Code}
				}
				showTable(w, []column{left("scheme"), left("presentation"), left("outcome"), left("code")}, rows)
			})
			return nil
		},
	}
	cmd.Flags().IntVar(&count, "count", 1, "how many of each payer's code; each works once")
	return cmd
}

// payerStyles are the codes of payers that the sandbox's wallets obey.
var payerStyles = []struct {
	scheme string
	style  scripted.Style
	issuer string
}{
	{"wechat", scripted.WeChat, ""}, {"alipay", scripted.Alipay, ""}, {"unionpay", scripted.UnionPay, ""}, {"tongbao", scripted.Unified, "1001"},
	{"unionpay", scripted.CPM, ""}, {"alipayhk", scripted.AlipayHK, ""}, {"harbour", scripted.Unified, "2002"},
}

// merchantStyles are the codes of merchants that the sandbox's networks obey: the
// merchant's number tells what becomes of the credit.
var merchantStyles = []struct {
	scheme string
	code   func(merchant string) string
}{
	{"north", func(id string) string { return merchantCode("2001", id, "", tongma.CNY) }},
	{"harbour", func(id string) string { return merchantCode("2002", id, "", tongma.CNY) }},
	{"tongbao", func(id string) string { return merchantCode("1001", id, "", tongma.CNY) }},
	{"khqr", func(id string) string {
		return shopCode(emv.Account{ID: "29", GUID: id + "@nbc"}, "", "KH", "PHNOM PENH", tongma.USD)
	}},
	{"promptpay", func(id string) string {
		fields := []tlv.Object{{ID: "01", Value: "099400016550100"}, {ID: "02", Value: id}}
		return shopCode(emv.Account{ID: "30", GUID: "A000000677010112", Fields: fields}, "", "TH", "BANGKOK", tongma.THB)
	}},
}

// sandboxCodes makes count payers' codes for every outcome at every scheme, and
// one merchant's code for each outcome. Payers' codes begin at a place drawn by
// chance, so that those of two calls differ.
func sandboxCodes(count int) ([]sandboxCode, error) {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	first := binary.BigEndian.Uint64(seed[:]) % 9_000_000_000
	var out []sandboxCode
	for _, s := range payerStyles {
		for _, o := range scripted.Outcomes() {
			for i := range count {
				code, err := scripted.Code(s.style, s.issuer, o, first+uint64(i))
				if err != nil {
					return nil, err
				}
				out = append(out, sandboxCode{s.scheme, "consumer", o.String(), code})
			}
		}
	}
	for _, m := range merchantStyles {
		for _, o := range scripted.Outcomes() {
			out = append(out, sandboxCode{m.scheme, "merchant", o.String(), m.code(strings.ReplaceAll(scripted.Merchant(o, ""), "-", ""))})
		}
	}
	return out, nil
}
