# Each sample: frames to counts. Only detect reads pixels in bulk; its jobs take chunks of frames, as many as
# chunk_frames says, and what they find does not depend on the chunking.


rule detect:
    output:
        frames=temp("<results>/samples/{sample}/chunks/{k}-of-{n}.frames.parquet"),
        cells=temp("<results>/samples/{sample}/chunks/{k}-of-{n}.cells.parquet"),
        outlines=temp("<results>/samples/{sample}/chunks/{k}-of-{n}.outlines.parquet"),
        planes=temp("<results>/samples/{sample}/chunks/{k}-of-{n}.planes.parquet"),
    log:
        "<logs>/samples/{sample}/detect.{k}-of-{n}.log",
    benchmark:
        "<benchmarks>/samples/{sample}/detect.{k}-of-{n}.tsv"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("detect", of="sample"),
        base=str(study.base),
        labels=labels_option,
        images=digest_of_images,
        code=code("detect"),
        known=images_known,
        ahead=after_detect,
    shell:
        "ctcascade ahead detect --settings {params.settings:q} --base {params.base:q} --chunk {wildcards.k}/{wildcards.n}"
        " --frames {output.frames:q} --cells {output.cells:q} --outlines {output.outlines:q} --planes {output.planes:q}"
        " {params.labels:q}"
        " --planned {params.images:q} {params.known:q} {params.ahead} 2> {log:q}"


# gather has the params of its chunks: chunks are deleted, and the next run must know if they would be out of date.
rule gather:
    input:
        frames=chunks_of("frames"),
        cells=chunks_of("cells"),
        outlines=chunks_of("outlines"),
        planes=chunks_of("planes"),
    output:
        frames="<results>/samples/{sample}/frames.parquet",
        cells="<results>/samples/{sample}/cells.parquet",
        outlines="<results>/samples/{sample}/outlines.parquet",
        overview="<results>/samples/{sample}/overview.parquet",
    log:
        "<logs>/samples/{sample}/gather.log",
    benchmark:
        "<benchmarks>/samples/{sample}/gather.tsv"
    params:
        settings=settings("detect", of="sample"),
        images=digest_of_images,
        code=code("detect"),
        ready=ready(
            "samples/{sample}",
            "frames.parquet",
            "cells.parquet",
            "outlines.parquet",
            "overview.parquet",
        ),
        ahead=after_gather,
    shell:
        "{params.ready} || ctcascade ahead gather --frames {input.frames:q} --cells {input.cells:q}"
        " --outlines {input.outlines:q} --out-frames {output.frames:q} --out-cells {output.cells:q}"
        " --out-outlines {output.outlines:q} --planes {input.planes:q} --out-overview {output.overview:q}"
        " {params.ahead} 2> {log:q}"


rule classify:
    input:
        frames=rules.gather.output.frames,
        cells=rules.gather.output.cells,
    output:
        "<results>/samples/{sample}/calls.parquet",
    log:
        "<logs>/samples/{sample}/classify.log",
    benchmark:
        "<benchmarks>/samples/{sample}/classify.tsv"
    params:
        settings=settings("classify", of="sample"),
        code=code("classify"),
        ready=ready("samples/{sample}", "calls.parquet"),
    shell:
        "{params.ready} || ctcascade classify --settings {params.settings:q} --frames {input.frames:q} --cells {input.cells:q}"
        " --out {output:q} 2> {log:q}"


# The only step after detect that reads frames: what pages show of them is cut out once.
rule crops:
    input:
        frames=rules.gather.output.frames,
        cells=rules.gather.output.cells,
        calls=rules.classify.output,
        outlines=rules.gather.output.outlines,
    output:
        "<results>/samples/{sample}/crops.parquet",
    log:
        "<logs>/samples/{sample}/crops.log",
    benchmark:
        "<benchmarks>/samples/{sample}/crops.tsv"
    params:
        settings=settings("crops", of="sample"),
        base=str(study.base),
        images=digest_of_images,
        code=code("crops"),
        known=images_known,
        ready=ready("samples/{sample}", "crops.parquet"),
    shell:
        "{params.ready} || ctcascade crops --settings {params.settings:q} --base {params.base:q} --frames {input.frames:q}"
        " --cells {input.cells:q} --calls {input.calls:q} --outlines {input.outlines:q} --out {output:q} {params.known:q} 2> {log:q}"


rule count:
    input:
        frames=rules.gather.output.frames,
        calls=rules.classify.output,
        cells=rules.gather.output.cells,
        reviews=reviews_of,
    output:
        "<results>/samples/{sample}/counts.json",
    log:
        "<logs>/samples/{sample}/count.log",
    benchmark:
        "<benchmarks>/samples/{sample}/count.tsv"
    params:
        settings=settings("count", of="sample"),
        reviews=option("--reviews", "reviews"),
        code=code("count"),
        ready=ready("samples/{sample}", "counts.json"),
    shell:
        "{params.ready} || ctcascade count --settings {params.settings:q} --frames {input.frames:q} --calls {input.calls:q}"
        " --cells {input.cells:q} --out {output:q} {params.reviews:q} 2> {log:q}"


rule quality:
    input:
        frames=rules.gather.output.frames,
        cells=rules.gather.output.cells,
        calls=rules.classify.output,
    output:
        "<results>/samples/{sample}/quality.json",
    log:
        "<logs>/samples/{sample}/quality.log",
    benchmark:
        "<benchmarks>/samples/{sample}/quality.tsv"
    params:
        settings=settings("quality", of="sample"),
        code=code("quality"),
        ready=ready("samples/{sample}", "quality.json"),
    shell:
        "{params.ready} || ctcascade quality --settings {params.settings:q} --frames {input.frames:q} --cells {input.cells:q}"
        " --calls {input.calls:q} --out {output:q} 2> {log:q}"


rule operator:
    input:
        frames=rules.gather.output.frames,
        calls=rules.classify.output,
    output:
        "<results>/samples/{sample}/operator.json",
    log:
        "<logs>/samples/{sample}/operator.log",
    benchmark:
        "<benchmarks>/samples/{sample}/operator.tsv"
    params:
        settings=settings("operator", of="sample"),
        base=str(study.base),
        events=digest_of_events,
        code=code("operator"),
        ready=ready("samples/{sample}", "operator.json"),
    shell:
        "{params.ready} || ctcascade operator --settings {params.settings:q} --base {params.base:q} --frames {input.frames:q}"
        " --calls {input.calls:q} --out {output:q} 2> {log:q}"


# Only pages wait for all samples: they name samples that hold the same images.
rule list_compared:
    input:
        template=ARGUMENTS,
        frames=collect(rules.gather.output.frames, sample=without_failed(study.samples)),
    output:
        temp("<results>/compared.args"),
    log:
        "<logs>/list_compared.log",
    params:
        settings=jobs.compare_job(study, WITHOUT).model_dump_json(),
        code=code("compare"),
    template_engine:
        "jinja2"


rule compare:
    input:
        rules.list_compared.output,
    output:
        "<results>/shared_pixels.json",
    log:
        "<logs>/compare.log",
    benchmark:
        "<benchmarks>/compare.tsv"
    params:
        settings=jobs.compare_job(study, WITHOUT).model_dump_json(),
        code=code("compare"),
    shell:
        "ctcascade compare @{input:q} --out {output:q} 2> {log:q}"


# A command line cannot hold the names of all results once there are some hundred controls.
rule list_controls:
    input:
        template=ARGUMENTS,
        counts=of_samples("counts", study.controls),
        quality=of_samples("quality", study.controls),
    output:
        temp("<results>/controls.args"),
    log:
        "<logs>/list_controls.log",
    params:
        settings=settings("controls"),
        code=code("controls"),
    template_engine:
        "jinja2"


rule controls:
    input:
        rules.list_controls.output,
    output:
        "<results>/controls.json",
    log:
        "<logs>/controls.log",
    benchmark:
        "<benchmarks>/controls.tsv"
    params:
        settings=settings("controls"),
        code=code("controls"),
    shell:
        "ctcascade controls @{input:q} --out {output:q} 2> {log:q}"


rule report_sample:
    input:
        frames=rules.gather.output.frames,
        cells=rules.gather.output.cells,
        calls=rules.classify.output,
        crops=rules.crops.output,
        overview=rules.gather.output.overview,
        counts=rules.count.output,
        quality=rules.quality.output,
        operator=rules.operator.output,
        controls=charts_of,
        shared=rules.compare.output,
    output:
        page=report(
            "<results>/samples/{sample}/report.html",
            caption="../report/sample.rst",
            category="Samples",
            labels={"sample": "{sample}"},
        ),
        cells="<results>/samples/{sample}/gallery.js",
    log:
        "<logs>/samples/{sample}/report.log",
    benchmark:
        "<benchmarks>/samples/{sample}/report.tsv"
    params:
        settings=settings("report", of="sample"),
        controls=option("--controls", "controls"),
        code=code("report"),
    shell:
        "ctcascade report sample --settings {params.settings:q} --frames {input.frames:q}"
        " --cells {input.cells:q} --calls {input.calls:q} --crops {input.crops:q} --counts {input.counts:q}"
        " --quality {input.quality:q} --operator {input.operator:q} --shared {input.shared:q}"
        " --overview {input.overview:q} --out {output.page:q} {params.controls:q} 2> {log:q}"
