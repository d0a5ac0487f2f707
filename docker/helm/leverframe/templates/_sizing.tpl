{{/*
The formula of docs/sizing.md, with its coefficients from files/sizing.json (tests/architecture/test_chart.py compares).
Routes that a micro-batch touches for each event: R (1 - exp(-n / R)) / n, exp by sixteen squarings. Takes (list routes n).
*/}}
{{- define "leverframe.touched" -}}
{{- $routes := index . 0 -}}
{{- $ratio := divf (index . 1) $routes -}}
{{- $left := 0.0 -}}
{{- if lt $ratio 30.0 -}}
{{- $left = addf 1.0 (divf $ratio 65536.0) -}}
{{- range until 16 -}}{{- $left = round (mulf $left $left) 9 -}}{{- end -}}
{{- $left = divf 1.0 $left -}}
{{- end -}}
{{- round (divf (mulf $routes (subf 1.0 $left)) (index . 1)) 9 -}}
{{- end -}}

{{/* Doublings beyond what is free: log2, a straight line between powers of two. Takes a ratio. */}}
{{- define "leverframe.doublings" -}}
{{- $ratio := float64 . -}}
{{- $doublings := 0.0 -}}
{{- range until 40 -}}
{{- if ge $ratio 2.0 -}}{{- $ratio = divf $ratio 2.0 -}}{{- $doublings = addf $doublings 1.0 -}}{{- end -}}
{{- end -}}
{{- round (addf $doublings (subf (maxf $ratio 1.0) 1.0)) 6 -}}
{{- end -}}

{{/* Cores of all processes together, when there are so many. Takes (list context processes). */}}
{{- define "leverframe.cores" -}}
{{- $known := (index . 0).Files.Get "files/sizing.json" | fromJson -}}
{{- $need := (index . 0).Values.sizing -}}
{{- $processes := float64 (index . 1) -}}
{{- $batch := float64 $known.batch_labels -}}
{{- $waiting := divf (mulf (float64 $need.eventsPerSecond) (float64 $need.windowS)) 2.0 $processes -}}
{{- $touched := include "leverframe.touched" (list (maxf 1.0 (divf (float64 $need.routes) $processes)) $batch) | float64 -}}
{{- $base := include "leverframe.touched" (list (float64 $known.base_routes) $batch) | float64 -}}
{{- $us := addf $known.worker_us
  (mulf $known.worker_us_per_kb (subf (divf (float64 $need.valueBytes) 1000.0) 0.15))
  (mulf $known.worker_us_per_arm (subf (float64 $need.arms) 4.0))
  (mulf $known.worker_us_per_doubling (include "leverframe.doublings" (divf $waiting (float64 $known.waiting_free)) | float64))
  (mulf $known.worker_us_per_touch (subf $touched $base)) -}}
{{- $idle := mulf (float64 $need.routes) $known.route_cores -}}
{{- round (addf $idle (divf (mulf (float64 $need.eventsPerSecond) $us) 1000000.0)) 4 -}}
{{- end -}}

{{/* Processes so that no more than the wanted share of their cores is in use. */}}
{{- define "leverframe.processesNeeded" -}}
{{- $found := 0 -}}
{{- range $at := until 256 -}}
{{- $count := add1 $at -}}
{{- if le (include "leverframe.cores" (list $ $count) | float64) (mulf (float64 $count) (float64 $.Values.sizing.used)) -}}
{{- $found = $count -}}
{{- break -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "sizing: %v events/s need more than 256 processes; see docs/sizing.md" .Values.sizing.eventsPerSecond) -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{/* At most so many processes have work: a partition belongs to one, and so does a lane. */}}
{{- define "leverframe.processesAtMost" -}}
{{- min (int .Values.topics.partitions) (int .Values.worker.lanes) -}}
{{- end -}}

{{- define "leverframe.replicas" -}}
{{- if .Values.worker.replicas -}}
{{- .Values.worker.replicas -}}
{{- else -}}
{{- $needed := include "leverframe.processesNeeded" . | float64 -}}
{{- max 2 (ceil (divf $needed (float64 .Values.worker.processes)) | int) -}}
{{- end -}}
{{- end -}}

{{/*
Processor: what is used, never below what small transactions take, so that the wanted share of it is in use.
Memory: a process has measured 174 to 382 MB with up to 1,000 arms, 803 MB with 10,000 routes of 4 (docs/sizing.md); both caches are counted in full.
No limit of processor time: a throttled worker misses its session.
*/}}
{{- define "leverframe.workerResources" -}}
{{- if .Values.worker.resources -}}
{{- toYaml .Values.worker.resources -}}
{{- else -}}
{{- $known := .Files.Get "files/sizing.json" | fromJson -}}
{{- $processes := float64 .Values.worker.processes -}}
{{- $replicas := include "leverframe.replicas" . | float64 -}}
{{- $all := mulf $replicas $processes -}}
{{- $used := divf (include "leverframe.cores" (list . $all) | float64) $replicas -}}
{{- $cores := maxf (divf $used (float64 .Values.sizing.used)) (mulf $known.light_cores $processes) -}}
{{- $caches := addf (include "leverframe.setting" (list . "app" "block_cache_mb" 64) | float64) (include "leverframe.setting" (list . "app" "memtable_mb" 128) | float64) -}}
{{- $routes := divf (float64 .Values.sizing.routes) $all -}}
{{- $states := mulf $routes 0.015 (float64 .Values.sizing.arms) -}}
{{- $memory := mulf $processes (addf 250.0 $caches $states) -}}
requests:
  cpu: {{ mulf $cores 1000.0 | ceil | int }}m
  memory: {{ ceil $memory | int }}Mi
limits:
  memory: {{ mulf $memory 1.5 | ceil | int }}Mi
{{- end -}}
{{- end -}}

{{/* Bytes of RocksDB of one worker while another is away, twice over for compaction, in Gi. */}}
{{- define "leverframe.storeGi" -}}
{{- $known := .Files.Get "files/sizing.json" | fromJson -}}
{{- $others := maxf 1.0 (subf (include "leverframe.replicas" . | float64) 1.0) -}}
{{- $waiting := divf (mulf (float64 .Values.sizing.eventsPerSecond) (float64 .Values.sizing.windowS)) 2.0 -}}
{{- divf (mulf 2.0 $waiting (float64 $known.store_bytes)) $others 1073741824.0 | ceil | int -}}
{{- end -}}
