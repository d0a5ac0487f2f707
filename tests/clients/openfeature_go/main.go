// Asks a gateway through OpenFeature for Go: lines of flag and targeting key, in hex, from standard input.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
)

func text(digits string) string {
	raw, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func main() {
	if err := openfeature.SetProviderAndWait(ofrep.NewProvider(os.Args[1])); err != nil {
		panic(err)
	}
	client := openfeature.NewClient("test")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		flag, key, _ := strings.Cut(lines.Text(), "\t")
		asker := openfeature.NewEvaluationContext(text(key), nil)
		found, _ := client.StringValueDetails(context.Background(), text(flag), "", asker)
		propensity, epoch := found.FlagMetadata["propensity"], found.FlagMetadata["epoch"]
		told := []any{found.Value, found.Reason, propensity, epoch, found.ErrorCode}
		line, err := json.Marshal(told)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
}
