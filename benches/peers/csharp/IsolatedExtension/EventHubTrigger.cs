using Azure.Core.Amqp;
using Azure.Messaging.EventHubs;
using Microsoft.Azure.Functions.Worker;
using Microsoft.Azure.Functions.Worker.Converters;
using Microsoft.Azure.Functions.Worker.Core;
using Microsoft.Azure.Functions.Worker.Extensions.Abstractions;

// What the functions need of the package Microsoft.Azure.Functions.Worker.Extensions.EventHubs.
namespace Peer;

[BindingCapabilities(KnownBindingCapabilities.FunctionLevelRetry)]
[InputConverter(typeof(EventDataConverter))]
[ConverterFallbackBehavior(ConverterFallbackBehavior.Default)]
public sealed class EventHubTriggerAttribute : TriggerBindingAttribute, ISupportCardinality
{
    private bool _isBatched = true;

    public EventHubTriggerAttribute(string eventHubName) => EventHubName = eventHubName;

    public string EventHubName { get; }

    public string? ConsumerGroup { get; set; }

    public string? Connection { get; set; }

    [DefaultValue(true)]
    public bool IsBatched
    {
        get => _isBatched;
        set => _isBatched = value;
    }

    Cardinality ISupportCardinality.Cardinality
    {
        get => _isBatched ? Cardinality.Many : Cardinality.One;
        set => _isBatched = value == Cardinality.Many;
    }
}

/// <summary>Deferred binding: each event comes as the bytes of its AMQP message.</summary>
[SupportsDeferredBinding]
[SupportedTargetType(typeof(EventData))]
[SupportedTargetType(typeof(EventData[]))]
internal sealed class EventDataConverter : IInputConverter
{
    public ValueTask<ConversionResult> ConvertAsync(ConverterContext context)
    {
        try
        {
            return new(context.Source switch
            {
                ModelBindingData one => ConversionResult.Success(EventOf(one)),
                CollectionModelBindingData many => ConversionResult.Success(Array.ConvertAll(many.ModelBindingData, EventOf)),
                _ => ConversionResult.Unhandled(),
            });
        }
        catch (Exception e)
        {
            return new(ConversionResult.Failed(e));
        }
    }

    private static EventData EventOf(ModelBindingData data)
    {
        if (data.Source != "AzureEventHubsEventData")
        {
            throw new InvalidOperationException($"unexpected binding source '{data.Source}'");
        }
        return new EventData(AmqpAnnotatedMessage.FromBytes(data.Content));
    }
}
